//! Roles, and what they permit.

use std::fmt;
use std::str::FromStr;

/// What a user is to a controller. Each may do all that the ones before it may.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// Looks.
    Viewer,
    /// Changes the network.
    Operator,
    /// Decides who else may.
    Admin,
}

impl Role {
    /// All of them, the weakest first.
    pub const ALL: [Self; 3] = [Self::Viewer, Self::Operator, Self::Admin];

    /// As people see it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Viewer => "viewer",
            Self::Operator => "operator",
            Self::Admin => "admin",
        }
    }

    /// All that it permits.
    #[must_use]
    pub fn permissions(self) -> Permissions {
        let all = Permission::ALL.into_iter();
        all.filter(|it| it.least_role() <= self).collect()
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// There is no such role.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("there is no role {0:?}: there are viewer, operator and admin")]
pub struct UnknownRole(pub String);

impl FromStr for Role {
    type Err = UnknownRole;

    fn from_str(text: &str) -> Result<Self, UnknownRole> {
        let found = Self::ALL.into_iter().find(|it| it.as_str() == text);
        found.ok_or_else(|| UnknownRole(text.to_owned()))
    }
}

macro_rules! permissions {
    ($($(#[$doc:meta])* $name:ident = $text:literal, $least:ident;)+) => {
        /// Something that may be permitted. Scopes of API tokens have the same names.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Permission { $($(#[$doc])* $name,)+ }

        impl Permission {
            /// All of them.
            pub const ALL: [Self; [$($text),+].len()] = [$(Self::$name),+];

            /// As people see it, and as it is kept.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$name => $text,)+ }
            }

            /// The weakest role that has it. There is none without one, and the roles above have it
            /// too, so that no role can do less than a weaker one.
            #[must_use]
            pub const fn least_role(self) -> Role {
                match self { $(Self::$name => Role::$least,)+ }
            }
        }
    };
}

permissions! {
    /// One's own password, sessions and API tokens.
    OwnAccount = "account.own", Viewer;
    /// Sites, uplinks, classes, policies, and all their generations.
    ReadIntent = "intent.read", Viewer;
    /// Routers, paths, their health, events and metrics.
    ReadNetwork = "network.read", Viewer;
    /// Candidates: what is not committed yet.
    EditIntent = "intent.edit", Operator;
    /// Committing, confirming and rolling back.
    CommitIntent = "intent.commit", Operator;
    /// Enrolment tokens, and approving routers.
    EnrolRouters = "routers.enrol", Operator;
    /// Cutting routers off.
    RevokeRouters = "routers.revoke", Operator;
    /// Replacing keys of tunnels now.
    RotateKeys = "keys.rotate", Operator;
    /// Who is there, with which role.
    ReadUsers = "users.read", Admin;
    /// Adding, changing and removing users, and ending their sessions.
    ManageUsers = "users.manage", Admin;
    /// API tokens of others.
    ManageTokens = "tokens.manage", Admin;
    /// The audit log.
    ReadAudit = "audit.read", Admin;
    /// Making and listing backups, which hold all secrets.
    MakeBackups = "backups.make", Admin;
    /// Putting a backup in place of everything.
    RestoreBackups = "backups.restore", Admin;
    /// How the controller itself is set up: identity providers, certificates.
    ManageController = "controller.manage", Admin;
}

impl Permission {
    const fn bit(self) -> u32 {
        1 << self as u32
    }

    /// Whether an API token can have it. What is somebody's own is not: a token that could change
    /// its owner's password or make other tokens would outlive its own revocation.
    #[must_use]
    pub const fn can_be_scope(self) -> bool {
        !matches!(self, Self::OwnAccount)
    }
}

impl fmt::Display for Permission {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// There is no such permission, or a token cannot have it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "there is no permission {found:?}: there are {}",
    list(Permission::ALL)
)]
pub struct UnknownPermission {
    /// The word.
    pub found: String,
}

fn list(all: impl IntoIterator<Item = Permission>) -> String {
    let words: Vec<&str> = all.into_iter().map(Permission::as_str).collect();
    words.join(", ")
}

impl FromStr for Permission {
    type Err = UnknownPermission;

    fn from_str(text: &str) -> Result<Self, UnknownPermission> {
        let found = Self::ALL.into_iter().find(|it| it.as_str() == text);
        found.ok_or_else(|| UnknownPermission {
            found: text.to_owned(),
        })
    }
}

/// A set of permissions: what a role permits, or the scopes of a token.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Permissions(u32);

impl Permissions {
    /// Whether this one is among them.
    #[must_use]
    pub const fn has(self, one: Permission) -> bool {
        self.0 & one.bit() != 0
    }

    /// Whether there are none.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Those that are in both.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// Those that are not in the other.
    #[must_use]
    pub const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// Each of them.
    pub fn iter(self) -> impl Iterator<Item = Permission> {
        let all = Permission::ALL.into_iter();
        all.filter(move |it| self.has(*it))
    }
}

impl FromIterator<Permission> for Permissions {
    fn from_iter<I: IntoIterator<Item = Permission>>(all: I) -> Self {
        Self(all.into_iter().fold(0, |bits, one| bits | one.bit()))
    }
}

/// Words with spaces between them, like scopes in RFC 6749 section 3.3.
impl fmt::Display for Permissions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let words: Vec<&str> = self.iter().map(Permission::as_str).collect();
        f.pad(&words.join(" "))
    }
}

impl FromStr for Permissions {
    type Err = UnknownPermission;

    fn from_str(text: &str) -> Result<Self, UnknownPermission> {
        text.split_ascii_whitespace().map(str::parse).collect()
    }
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;

    #[test]
    fn every_permission_has_a_name_and_a_role() {
        let mut table = String::new();
        for one in Permission::ALL {
            let roles = Role::ALL.iter().filter(|role| role.permissions().has(one));
            let roles: Vec<&str> = roles.map(|role| role.as_str()).collect();
            table += &format!("{one:<17} {}\n", roles.join(" "));
            assert_eq!(one.as_str().parse(), Ok(one));
        }
        expect![[r#"
            account.own       viewer operator admin
            intent.read       viewer operator admin
            network.read      viewer operator admin
            intent.edit       operator admin
            intent.commit     operator admin
            routers.enrol     operator admin
            routers.revoke    operator admin
            keys.rotate       operator admin
            users.read        admin
            users.manage      admin
            tokens.manage     admin
            audit.read        admin
            backups.make      admin
            backups.restore   admin
            controller.manage admin
        "#]]
        .assert_eq(&table);
    }

    #[test]
    fn a_stronger_role_may_do_all_that_a_weaker_one_may_and_more() {
        for pair in Role::ALL.windows(2) {
            let (weak, strong) = (pair[0].permissions(), pair[1].permissions());
            assert!(weak.without(strong).is_empty());
            assert!(!strong.without(weak).is_empty());
        }
        let all = Role::Admin.permissions();
        assert_eq!(all.iter().count(), Permission::ALL.len());
    }

    #[test]
    fn words_that_are_no_roles_or_permissions_are_told_with_what_would_be() {
        for role in Role::ALL {
            assert_eq!(role.as_str().parse(), Ok(role));
        }
        assert_eq!(
            "root".parse::<Role>().unwrap_err().to_string(),
            "there is no role \"root\": there are viewer, operator and admin"
        );
        let error = "intent.read intent.write"
            .parse::<Permissions>()
            .unwrap_err();
        assert_eq!(error.found, "intent.write");
        assert!(error.to_string().contains("intent.edit"), "{error}");
        assert!("Admin".parse::<Role>().is_err());
    }
}
