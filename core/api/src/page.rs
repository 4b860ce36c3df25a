//! Long lists, page by page.

use async_graphql::{OutputType, SimpleObject};

use crate::error::Failure;

/// Part of a list.
#[derive(SimpleObject)]
#[graphql(concrete(name = "PathPage", params(crate::types::path::Path)))]
#[graphql(concrete(name = "SitePage", params(crate::types::site::Site)))]
#[graphql(concrete(name = "RoutePage", params(crate::types::route::Route)))]
#[graphql(concrete(name = "EventPage", params(crate::types::event::Event)))]
pub(crate) struct Page<T: OutputType> {
    /// The part.
    pub(crate) nodes: Vec<T>,
    /// Where it lies in the list.
    pub(crate) page_info: PageInfo,
}

/// Where a page lies in its list.
#[derive(SimpleObject)]
pub(crate) struct PageInfo {
    /// Whether more follows.
    pub(crate) has_next_page: bool,
    /// Pass this as `after` to get what follows; `null` for an empty page without predecessor.
    pub(crate) end_cursor: Option<String>,
}

/// The most that a page holds: ten times the paths or prefixes of a large network.
pub(crate) const LARGEST_PAGE: usize = 100_000;

/// Which part of a list is wanted.
pub(crate) struct Wanted {
    pub(crate) first: Option<u32>,
    pub(crate) after: Option<String>,
}

impl Wanted {
    /// How many are wanted; all of them if nothing is said.
    pub(crate) fn limit(&self) -> usize {
        let all = |first: u32| usize::try_from(first).unwrap_or(LARGEST_PAGE);
        self.first.map_or(LARGEST_PAGE, all).min(LARGEST_PAGE)
    }

    /// Cuts the page out of the whole list. `key` names each item: it is what cursors are.
    pub(crate) fn cut<'a, I: 'a, T: OutputType>(
        self,
        items: impl Iterator<Item = &'a I> + Clone,
        key: impl Fn(&I) -> String,
        make: impl Fn(&I) -> T,
    ) -> Result<Page<T>, Failure> {
        let begin = match &self.after {
            None => 0,
            Some(after) => 1 + place(after, items.clone().map(&key))?,
        };
        let mut rest = items.skip(begin).peekable();
        let (mut nodes, mut end_cursor) = (Vec::new(), self.after.clone());
        while nodes.len() < self.limit() {
            let Some(item) = rest.next() else { break };
            nodes.push(make(item));
            end_cursor = Some(key(item));
        }
        let has_next_page = rest.peek().is_some();
        let page_info = PageInfo {
            has_next_page,
            end_cursor,
        };
        Ok(Page { nodes, page_info })
    }
}

fn place(after: &str, mut keys: impl Iterator<Item = String>) -> Result<usize, Failure> {
    keys.position(|key| key == after)
        .ok_or_else(|| Failure::BadInput {
            argument: "after",
            value: after.to_owned(),
            problem: "that item is no longer in the list, so what follows it is not known. \
                  Begin again without `after`"
                .to_owned(),
        })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::route::Route;

    #[track_caller]
    fn check(first: Option<u32>, after: Option<&str>, expected: &str) {
        let items = ["a", "b", "c", "d", "e"];
        let after = after.map(str::to_owned);
        let make = |item: &&str| Route::for_test(item);
        let page = Wanted { first, after }.cut(items.iter(), |i| (*i).to_owned(), make);
        let shown = match page {
            Ok(page) => {
                let nodes: Vec<&str> = page.nodes.iter().map(|n| n.prefix.as_str()).collect();
                let more = if page.page_info.has_next_page {
                    " …"
                } else {
                    ""
                };
                format!("{}{more} {:?}", nodes.join(""), page.page_info.end_cursor)
            }
            Err(failure) => failure.code().to_owned(),
        };
        assert_eq!(shown, expected);
    }

    #[test]
    fn a_page_follows_the_one_before_it() {
        check(None, None, "abcde Some(\"e\")");
        check(Some(2), None, "ab … Some(\"b\")");
        check(Some(2), Some("b"), "cd … Some(\"d\")");
        check(Some(2), Some("d"), "e Some(\"e\")");
        check(Some(2), Some("e"), " Some(\"e\")");
        check(Some(5), None, "abcde Some(\"e\")");
        check(Some(0), None, " … None");
    }

    #[test]
    fn what_follows_an_item_that_has_gone_is_not_guessed() {
        check(None, Some("x"), "BAD_INPUT");
    }
}
