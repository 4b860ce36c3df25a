//! What others have put into the way of packets.

use patronus_model::view::ObstacleView;

/// What is in the way, what follows from that, and what to do about it.
pub(crate) fn obstacle(it: &ObstacleView) -> String {
    let ObstacleView {
        found,
        certain,
        cost,
        remedy,
    } = it;
    let perhaps = if *certain { "" } else { "perhaps: " };
    format!("{perhaps}{} ({cost}); {remedy}", found.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_do_harm_is_told_from_what_does() {
        let mut it = ObstacleView {
            found: vec!["IPv4 rule 5".to_owned(), "IPv4 rule 6".to_owned()],
            certain: true,
            cost: "it follows the tables of others".to_owned(),
            remedy: "remove it".to_owned(),
        };
        let certain = "IPv4 rule 5, IPv4 rule 6 (it follows the tables of others); remove it";
        assert_eq!(obstacle(&it), certain);
        it.certain = false;
        assert_eq!(obstacle(&it), format!("perhaps: {certain}"));
    }
}
