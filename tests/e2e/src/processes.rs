//! The processes of one node of a lab. All nodes share their process ids and see each other's, so
//! they are told apart by their network namespace.

use std::collections::BTreeMap;

use anyhow::Result;
use patronus_lab::Node;

/// Command lines by process id, of the node's own processes that `pgrep` finds when it is told this.
///
/// # Errors
/// When the node is gone.
pub(crate) fn processes(node: &Node, pgrep: &str) -> Result<BTreeMap<String, String>> {
    let script = format!(
        "here=$(readlink /proc/$$/ns/net); for p in $(pgrep {pgrep}); do \
         [ \"$(readlink /proc/$p/ns/net)\" = \"$here\" ] && [ $p != $$ ] && \
         echo $p $(tr '\\0' ' ' </proc/$p/cmdline); done; true"
    );
    let text = node.run(["sh", "-c", &script])?;
    let lines = text.lines().filter_map(|line| line.split_once(' '));
    Ok(lines
        .map(|(pid, command)| (pid.to_owned(), command.to_owned()))
        .collect())
}
