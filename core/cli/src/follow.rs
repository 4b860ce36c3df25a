//! `patronus events --follow`.

use std::time::Duration;

use crate::client::Client;
use crate::interrupt::interrupted;
use crate::layout::Memory;
use crate::output;
use crate::trouble::Trouble;
use crate::views::View;
use crate::views::events::{Events, last_of};

/// How often it is asked whether something happened: as often as a person notices.
const BEAT: Duration = Duration::from_millis(500);

/// Shows events as they happen, until Ctrl-C. A daemon that goes away is waited for.
pub(crate) async fn follow(client: &Client, view: Events, json: bool) -> Result<u8, Trouble> {
    tokio::select! {
        result = follow_for_ever(client, view, json) => result,
        ended = interrupted() => Ok(ended.map(|()| 0)?),
    }
}

async fn follow_for_ever(client: &Client, mut view: Events, json: bool) -> Result<u8, Trouble> {
    let mut reached = false;
    let mut lost = false;
    loop {
        match client.ask(view.query(), &view.variables()).await {
            Ok(data) => {
                if lost && !json {
                    output::complain("patronusd is back");
                }
                (reached, lost) = (true, false);
                show(&view, &data, json)?;
                if let Some((day, cursor)) = last_of(&data) {
                    view = Events {
                        last: None,
                        after: Some(cursor),
                        day: Some(day),
                    };
                }
            }
            Err(trouble) if reached && trouble.may_pass() => {
                match (lost, json) {
                    (true, _) => {}
                    (false, true) => output::complain_of(&trouble, json),
                    (false, false) => output::complain(&format!("{trouble} Waiting for it")),
                }
                lost = true;
            }
            Err(trouble) => return Err(trouble),
        }
        tokio::time::sleep(BEAT).await;
    }
}

fn show(view: &Events, data: &serde_json::Value, json: bool) -> Result<(), Trouble> {
    if json {
        let events = view.json(data.clone())?;
        for event in events.as_array().into_iter().flatten() {
            output::write_json_line(event)?;
        }
        return Ok(());
    }
    let shown = view.render(data.clone())?;
    Ok(output::write(
        &shown.page.draw(output::canvas(), &mut Memory::default()),
    )?)
}
