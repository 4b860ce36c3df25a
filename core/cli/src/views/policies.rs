//! `patronus policies`.

use serde_json::Value;

use super::{Shown, View, part};
use crate::answers::{Class, Policy};
use crate::layout::{Align, Column, Page, Table, Text, Tone};
use crate::trouble::Trouble;
use crate::units;

pub(crate) struct Policies;

impl View for Policies {
    fn query(&self) -> &'static str {
        "query Policies {
            policies { id name priority matches action class }
            classes { id name strategy default }
        }"
    }

    fn json(&self, data: Value) -> Result<Value, Trouble> {
        part(data, "/policies")
    }

    fn render(&self, data: Value) -> Result<Shown, Trouble> {
        let policies: Vec<Policy> = part(data.clone(), "/policies")?;
        let classes: Vec<Class> = part(data, "/classes")?;
        let strategy = |name: &str| {
            let class = classes.iter().find(|class| class.name == name);
            class.map_or_else(Text::default, |class| class.strategy.clone().into())
        };
        let mut table = Table::new([
            Column::new("PRIORITY", Align::Right),
            Column::new("POLICY", Align::Left).flexible(),
            Column::new("MATCHES", Align::Left).flexible(),
            Column::new("ACTION", Align::Left),
            Column::new("STRATEGY", Align::Left)
                .flexible()
                .dispensable(1),
        ]);
        for policy in &policies {
            let (action, strategy) = match &policy.class {
                Some(class) => (format!("class {class}").into(), strategy(class)),
                None => (Text::toned(Tone::Bad, "drop"), Text::default()),
            };
            table.row([
                policy.priority.to_string().into(),
                policy.name.clone().into(),
                policy.matches.clone().into(),
                action,
                strategy,
            ]);
        }
        if let Some(default) = classes.iter().find(|class| class.default) {
            table.row([
                Text::toned(Tone::Dim, units::UNKNOWN),
                Text::toned(Tone::Dim, units::UNKNOWN),
                "everything else".into(),
                format!("class {}", default.name).into(),
                default.strategy.clone().into(),
            ]);
        }
        let mut page = Page::default();
        page.table(table);
        Ok(Shown { page, well: true })
    }
}
