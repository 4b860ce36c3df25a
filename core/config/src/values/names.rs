//! Names, labels, and other texts.

use std::path::PathBuf;

use patronus_model::ids::{ClassName, IfName, PolicyName, SiteId, UnderlayName, UplinkName};
use patronus_model::layout::InterfacePrefix;
use patronus_model::secret::Secret;
use patronus_model::wireguard::PublicKey;

use crate::read::{Fault, Scalar};
use crate::shape::{Form, ScalarShape};
use crate::tree::Word;

const LABEL: Form = Form::Text("^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$");
const LABEL_HELP: &str = "use 1 to 63 lower-case letters, digits and inner hyphens";

/// Any of the model's names that are DNS labels.
pub(crate) trait Label: std::str::FromStr {
    /// With its article.
    const TITLE: &'static str;
}

macro_rules! label {
    ($($name:ident, $title:literal;)+) => { $(
        impl Label for $name {
            const TITLE: &'static str = $title;
        }

        impl Scalar for $name {
            const SHAPE: ScalarShape = ScalarShape::new($title, LABEL_HELP, &[LABEL]);

            fn parse(word: &Word) -> Result<Self, Fault> {
                parse_label(word)
            }
        }
    )+ };
}

label!(
    SiteId, "a site id";
    UplinkName, "an uplink name";
    UnderlayName, "an underlay name";
    ClassName, "a class name";
    PolicyName, "a policy name";
);

fn parse_label<T: Label>(word: &Word) -> Result<T, Fault> {
    let text = word.as_text()?;
    text.parse().map_err(|_| {
        let fixed = slug(text);
        let help = match fixed.parse::<T>() {
            Ok(_) => format!("{LABEL_HELP}, for example \"{fixed}\""),
            Err(_) => LABEL_HELP.to_owned(),
        };
        Fault::new(format!("is not {}", T::TITLE), help)
    })
}

/// What a name becomes as a label: "Branch Office 1" gives "branch-office-1".
fn slug(text: &str) -> String {
    let plain = |c: char| {
        if c.is_ascii_alphanumeric() {
            c.to_ascii_lowercase()
        } else {
            '-'
        }
    };
    let text: String = text.chars().take(63).map(plain).collect();
    text.trim_matches('-').to_owned()
}

impl Scalar for IfName {
    const SHAPE: ScalarShape = ScalarShape::new(
        "an interface name",
        "use 1 to 15 letters, digits and . _ - + @, as `ip link` shows them",
        // Narrower than the kernel: the name ends up in nftables rules and FRR lines.
        &[Form::Text("^[A-Za-z0-9._+@-]{1,15}$")],
    );

    fn parse(word: &Word) -> Result<Self, Fault> {
        let text = word.as_text()?;
        let plain = |c: char| c.is_ascii_alphanumeric() || "._+@-".contains(c);
        let name = text.parse().ok().filter(|_| text.chars().all(plain));
        name.ok_or_else(Fault::not::<Self>)
    }
}

impl Scalar for InterfacePrefix {
    const SHAPE: ScalarShape = ScalarShape::new(
        "an interface prefix",
        "use one to four lower-case letters",
        &[Form::Text("^[a-z]{1,4}$")],
    );

    fn parse(word: &Word) -> Result<Self, Fault> {
        Self::new(word.as_text()?).map_err(|_| Fault::not::<Self>())
    }
}

/// A text for people, which also ends up as a comment in the configuration of other daemons.
#[derive(Clone)]
pub(crate) struct Line(pub(crate) String);

impl Scalar for Line {
    const SHAPE: ScalarShape = ScalarShape::new(
        "a line of text",
        "use 1 to 80 characters in one line, without blanks at its ends",
        &[Form::Text(r"^\S(.{0,78}\S)?$")],
    );

    fn parse(word: &Word) -> Result<Self, Fault> {
        let text = word.as_text()?;
        let good = (1..=80).contains(&text.chars().count())
            && text.trim() == text
            && !text.chars().any(char::is_control);
        good.then(|| Self(text.to_owned()))
            .ok_or_else(Fault::not::<Self>)
    }
}

/// The key of a label.
pub(crate) struct LabelKey(pub(crate) String);

impl Scalar for LabelKey {
    const SHAPE: ScalarShape = ScalarShape::new(
        "a label",
        "use 1 to 63 letters, digits and . _ - /",
        &[Form::Text("^[A-Za-z0-9._/-]{1,63}$")],
    );

    fn parse(word: &Word) -> Result<Self, Fault> {
        let plain = |c: char| c.is_ascii_alphanumeric() || "._-/".contains(c);
        let good = (1..=63).contains(&word.text.len()) && word.text.chars().all(plain);
        good.then(|| Self(word.text.clone()))
            .ok_or_else(Fault::not::<Self>)
    }
}

/// The value of a label.
pub(crate) struct LabelValue(pub(crate) String);

impl Scalar for LabelValue {
    const SHAPE: ScalarShape = ScalarShape::new(
        "a label's value",
        "use at most 63 characters in one line",
        &[Form::Text("^.{0,63}$")],
    );

    fn parse(word: &Word) -> Result<Self, Fault> {
        let text = word.as_text()?;
        let good = text.chars().count() <= 63 && !text.chars().any(char::is_control);
        good.then(|| Self(text.to_owned()))
            .ok_or_else(Fault::not::<Self>)
    }
}

/// A TCP-MD5 password.
#[derive(Clone)]
pub(crate) struct Password(pub(crate) Secret);

impl Password {
    /// Takes over a text that is a password.
    pub(crate) fn new(text: &str) -> Option<Self> {
        // 80 bytes is TCP_MD5SIG_MAXKEYLEN; blanks would end the word in FRR's configuration.
        let good = (1..=80).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic());
        good.then(|| Self(Secret::new(text.to_owned())))
    }

    pub(crate) const HELP: &'static str = "use 1 to 80 printable ASCII characters without blanks";
}

impl Scalar for Password {
    const SHAPE: ScalarShape = ScalarShape {
        title: "a password",
        help: Self::HELP,
        forms: &[Form::Text("^[!-~]{1,80}$")],
        secret: true,
    };

    fn parse(word: &Word) -> Result<Self, Fault> {
        Self::new(word.as_text()?).ok_or_else(Fault::not::<Self>)
    }
}

/// The name of a file that holds a password.
pub(crate) struct PasswordFile(pub(crate) PathBuf);

impl Scalar for PasswordFile {
    const SHAPE: ScalarShape = ScalarShape::new(
        "an absolute file name",
        "begin with \"/\"",
        &[Form::Text("^/.+$")],
    );

    fn parse(word: &Word) -> Result<Self, Fault> {
        let text = word.as_text()?;
        let good = text.len() > 1 && text.starts_with('/') && !text.chars().any(char::is_control);
        good.then(|| Self(PathBuf::from(text)))
            .ok_or_else(Fault::not::<Self>)
    }
}

impl Scalar for PublicKey {
    const SHAPE: ScalarShape = ScalarShape::new(
        "a WireGuard public key",
        "use 44 characters of base64, the last one \"=\"",
        &[Form::Text("^[A-Za-z0-9+/]{42}[AEIMQUYcgkosw048]=$")],
    );

    fn parse(word: &Word) -> Result<Self, Fault> {
        let key: Self = word.as_text()?.parse().map_err(|_| Fault::not::<Self>())?;
        if key.0 == [0; 32] {
            return Err(Fault::new("is all zeros", Self::SHAPE.help));
        }
        Ok(key)
    }
}
