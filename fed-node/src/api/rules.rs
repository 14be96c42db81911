//! Who may call what: for each call of the API the least role that may. A call without a rule is refused, and a test walks the
//! .proto files for calls without one.

use fed_core::records::Role;
use fed_proto::client as pb;
use pb::change::What;

use super::settings;

/// What the path of every call begins with.
const PACKAGE: &str = "/federated.client.v1.";

/// Each service with its calls, and for each the least role that may make it. What a single request needs beyond that is in this file too.
pub const RULES: &[(&str, &[(&str, Role)])] = &[("Federation", FEDERATION), ("Operations", OPERATIONS)];

const FEDERATION: &[(&str, Role)] = &[
    ("Status", Role::Reader),
    ("GetUser", Role::Reader),
    ("ListUsers", Role::Reader),
    ("PutUser", Role::Operator),
    ("DeleteUser", Role::Operator),
    ("GetDevice", Role::Reader),
    ("ListDevices", Role::Reader),
    ("PutDevice", Role::Operator),
    ("DeleteDevice", Role::Operator),
    ("Write", Role::Operator),
    // Its reads; each change in it needs what the single call would.
    ("Pipeline", Role::Reader),
    ("Where", Role::Reader),
    ("Route", Role::Reader),
    ("ListNodes", Role::Reader),
    ("GetNode", Role::Reader),
    ("RemoveNode", Role::Admin),
    ("PlanMembers", Role::Operator),
    ("ApplyPlan", Role::Admin),
    // Whoever joins has the map with every digest in it.
    ("CreateJoinToken", Role::Admin),
    ("TransferLeadership", Role::Admin),
    ("ListSettings", Role::Reader),
    ("GetSetting", Role::Reader),
    ("PutSetting", Role::Operator),
    ("DeleteSetting", Role::Operator),
    ("Watch", Role::Reader),
    // The digests and the key that opens them are in it.
    ("Backup", Role::Admin),
    ("Bind", Role::Registrar),
    ("Unbind", Role::Registrar),
    ("CreateToken", Role::Admin),
    ("ListTokens", Role::Admin),
    ("RevokeToken", Role::Admin),
    ("ListAudit", Role::Operator),
    ("Drift", Role::Operator),
];

const OPERATIONS: &[(&str, Role)] = &[
    ("Nodes", Role::Reader),
    ("Events", Role::Reader),
    // Names of objects and people, and what somebody else tried.
    ("Logs", Role::Operator),
    ("Ready", Role::Reader),
    // They cost the disks something.
    ("Perf", Role::Operator),
    ("Replicas", Role::Operator),
];

/// The calls that change something, or hand everything out: refusing one of them is noted in the audit log.
const CHANGES: [&str; 18] = [
    "PutUser",
    "DeleteUser",
    "PutDevice",
    "DeleteDevice",
    "Write",
    "Pipeline",
    "RemoveNode",
    "ApplyPlan",
    "CreateJoinToken",
    "TransferLeadership",
    "PutSetting",
    "DeleteSetting",
    "Backup",
    "Bind",
    "Unbind",
    "CreateToken",
    "RevokeToken",
    "ListTokens",
];

/// Whether the call of this path changes something.
pub(super) fn is_change(path: &str) -> bool {
    rule(path).is_some() && path.rsplit('/').next().is_some_and(|call| CHANGES.contains(&call))
}

/// Digests are as good as passwords: who may read them.
pub(super) const CREDENTIALS: Role = Role::Admin;

/// Who hears of changes of tokens.
pub(super) const TOKENS: Role = Role::Admin;

/// The least role for the call of this path, such as `/federated.client.v1.Federation/GetUser`.
#[must_use]
pub fn rule(path: &str) -> Option<Role> {
    let (service, call) = path.strip_prefix(PACKAGE)?.split_once('/')?;
    let (_, calls) = RULES.iter().find(|(name, _)| *name == service)?;
    calls.iter().find(|(name, _)| *name == call).map(|(_, role)| *role)
}

/// The least role for one change, wherever it comes in.
pub(super) fn of_change(change: &pb::Change) -> Role {
    let key = match &change.what {
        Some(What::PutSetting(put)) => &put.key,
        Some(What::DeleteSetting(delete)) => &delete.id,
        _ => return Role::Operator,
    };
    of_setting(key)
}

/// The least role for changing a setting: what the federation reads decides who may call, from where and whereto; the others are notes.
pub(super) fn of_setting(key: &str) -> Role {
    if settings::known(key).is_some() {
        Role::Admin
    } else {
        Role::Operator
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use prost::Message;

    /// Every call of the client API that the .proto files know.
    pub(crate) fn calls() -> Vec<String> {
        let files = prost_types::FileDescriptorSet::decode(fed_proto::DESCRIPTORS)
            .unwrap()
            .file;
        let client = files.iter().filter(|file| file.package() == "federated.client.v1");
        let services = client.flat_map(|file| &file.service);
        services
            .flat_map(|service| {
                let methods = service.method.iter();
                methods.map(|method| format!("/federated.client.v1.{}/{}", service.name(), method.name()))
            })
            .collect()
    }

    #[test]
    fn every_call_has_a_rule_and_every_rule_a_call() {
        let calls = calls();
        assert!(calls.len() > 20, "{calls:?}");
        for call in &calls {
            assert!(
                rule(call).is_some(),
                "{call} has no rule: say in rules.rs who may make it"
            );
        }
        for (service, rules) in RULES {
            for (name, _) in *rules {
                let path = format!("{PACKAGE}{service}/{name}");
                assert!(calls.contains(&path), "{path} is no call");
                assert_eq!(
                    rules.iter().filter(|(other, _)| other == name).count(),
                    1,
                    "{path} has two rules"
                );
            }
        }
    }

    #[test]
    fn what_a_reader_may_not_do_is_a_change_or_only_looks() {
        // Neither changes anything nor hands out what opens lines.
        const LOOKS: [&str; 6] = ["PlanMembers", "ListAudit", "Drift", "Logs", "Perf", "Replicas"];
        for call in calls() {
            let name = call.rsplit('/').next().unwrap();
            let looks = rule(&call) == Some(Role::Reader) && name != "Pipeline" || LOOKS.contains(&name);
            assert_eq!(
                is_change(&call),
                !looks,
                "{call}: say in rules.rs whether it changes something"
            );
        }
    }

    #[test]
    fn what_is_no_call_has_no_rule() {
        for path in [
            "",
            "/",
            "/federated.client.v1.Federation/",
            "/federated.peer.v1.Peer/Propose",
            "GetUser",
        ] {
            assert_eq!(rule(path), None, "{path}");
        }
    }

    #[test]
    fn settings_that_the_federation_reads_are_the_admins() {
        for known in settings::KNOWN {
            assert_eq!(of_setting(known.key), Role::Admin, "{}", known.key);
        }
        assert_eq!(of_setting("x-note-of-mine"), Role::Operator);
    }
}
