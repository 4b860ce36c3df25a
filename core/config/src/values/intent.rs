//! The words of an intent.

use crate::values::words::words;

words!(
    /// Which pairs of sites are meant.
    ExtentWord, "a set of pairs", or "{within: ...} with a label" {
        "all" => All,
        "none" => None,
    }
);

words!(
    /// The kind of a network.
    NetworkKind, "the kind of a network" { "network" => Network }
);

words!(
    /// The kind of a site.
    SiteKind, "the kind of a site" { "site" => Site }
);

words!(
    /// The kind of a class.
    ClassKind, "the kind of a class" { "class" => Class }
);

words!(
    /// The kind of a policy.
    PolicyKind, "the kind of a policy" { "policy" => Policy }
);

words!(
    /// What an object is.
    KindWord, "a kind of object" {
        "network" => Network,
        "site" => Site,
        "class" => Class,
        "policy" => Policy,
    }
);
