//! `user add|set|show|list|remove` and `where`.

use fed_core::records::setting;
use fed_proto::client as pb;

use super::edit;
use super::node::all_nodes;
use crate::api::{convert, reserved};
use crate::cli::args::{DeviceFields, Output, PasswordArgs, UserAddArgs, UserCommand, UserFields, UserSetArgs};
use crate::cli::change::{Intent, change};
use crate::cli::client::{Api, Client};
use crate::cli::exit::{Exit, Failure, Outcome};
use crate::cli::output::print;
use crate::cli::pages;
use crate::cli::password;
use crate::cli::views::{DeviceView, UserDetail, UserView, Users, WhereView};
use crate::config::Secret;
use crate::talk;

pub(super) async fn user(client: &Client, command: UserCommand, intent: Intent) -> Outcome {
    let output = intent.output;
    match command {
        UserCommand::Add(args) => add(client, args, intent).await,
        UserCommand::Set(args) => set(client, args, intent).await,
        UserCommand::Show { id } => show(client, &id, output).await,
        UserCommand::List => list(client, output).await,
        UserCommand::Remove { id } => remove(client, id, intent).await,
        UserCommand::Import(_) | UserCommand::Export => unreachable!("dispatched to the roster"),
    }
}

async fn add(client: &Client, args: UserAddArgs, intent: Intent) -> Outcome {
    if args.no_device && (args.device_fields != DeviceFields::default() || args.password != PasswordArgs::default()) {
        return Err(Failure::usage(
            "--no-device adds no device: leave out the password and the options of a device, or --no-device",
        ));
    }
    let preferred = preferred(client, &args.fields.preferred_nodes).await?;
    let mut user = edit::new_user(&args.id);
    edit::user(&mut user, args.fields.clone(), preferred);
    // Before a password is asked for.
    convert::user(user.clone()).map_err(Failure::usage)?;
    reserved::user(&user.id, user.numbers.iter().map(String::as_str), None).map_err(Failure::usage)?;
    let absent = Some(pb::Expect {
        what: Some(pb::expect::What::Absent(true)),
    });
    use pb::change::What;
    let mut changes = vec![What::PutUser(pb::PutUserRequest {
        user: Some(user),
        expect: absent,
    })];
    if !args.no_device {
        let mut device = edit::new_device(args.device.as_deref().unwrap_or(&args.id), &args.id);
        edit::device(&mut device, args.device_fields);
        fed_core::ids::DeviceId::new(device.id.clone()).map_err(Failure::usage)?;
        reserved::new_device(&device.id).map_err(Failure::usage)?;
        let secret = password::read(&args.password, &device.id)?;
        set_credentials(client, &mut device, &secret).await?;
        changes.push(What::PutDevice(pb::PutDeviceRequest {
            device: Some(device),
            expect: absent,
        }));
    }
    let with = if args.no_device {
        "without a device"
    } else {
        "with its device"
    };
    change(client, intent, changes, format!("user {} added {with}", args.id)).await?;
    warn_of_loose_ends(client, &args.id, &args.fields).await;
    Ok(())
}

/// Ids of nodes that may be named by name or id; an empty name alone is none of them, and `None` says that nothing was named.
async fn preferred(client: &Client, named: &[String]) -> Outcome<Option<Vec<u64>>> {
    if named.is_empty() {
        return Ok(None);
    }
    let named: Vec<String> = named.iter().filter(|name| !name.is_empty()).cloned().collect();
    if named.is_empty() {
        return Ok(Some(Vec::new()));
    }
    let nodes: Vec<pb::Node> = all_nodes(client).await?.into_iter().filter_map(|r| r.node).collect();
    ids_of(&nodes, &named).map(Some)
}

/// The ids of the nodes named; one whose name is another's id is meant by the id.
fn ids_of(nodes: &[pb::Node], named: &[String]) -> Outcome<Vec<u64>> {
    let id_of = |text: &String| {
        let by_id = |id: u64| nodes.iter().find(|node| node.id == id);
        let found = text.parse().ok().and_then(by_id);
        let found = found.or_else(|| nodes.iter().find(|node| node.name == *text));
        found.map(|node| node.id).ok_or_else(|| no_such_node(nodes, text))
    };
    named.iter().map(id_of).collect()
}

fn no_such_node(nodes: &[pb::Node], text: &str) -> Failure {
    let nearest = nodes
        .iter()
        .map(|node| (strsim::damerau_levenshtein(text, &node.name), node.name.as_str()))
        .min()
        .filter(|(distance, name)| *distance < name.len() && *distance <= (name.len() / 3).max(1));
    let meant = nearest.map_or_else(|| ":".to_owned(), |(_, name)| format!("; did you mean {name}?"));
    let known: Vec<String> = nodes
        .iter()
        .map(|node| format!("{} (id {})", node.name, node.id))
        .collect();
    Failure::usage(format!(
        "there is no node {text} to prefer{meant} there are {}",
        known.join(", ")
    ))
}

/// Says which of the fields lead nowhere, or back to the user. They may all the same: whom they are for may be added afterwards.
async fn warn_of_loose_ends(client: &Client, user: &str, fields: &UserFields) {
    let forwards = [
        ("--forward-always", &fields.forward_always),
        ("--forward-busy", &fields.forward_busy),
        ("--forward-no-answer", &fields.forward_no_answer),
        ("--forward-offline", &fields.forward_offline),
    ];
    for (flag, to) in forwards {
        let to = to.as_deref().unwrap_or_default();
        // Where it cannot be looked up, nothing is known against it.
        if to.is_empty() {
            continue;
        }
        match place_of(client, to).await {
            Ok(place) if place.user == user => {
                talk!("warning: {flag} {to} leads back to {user}: a call that goes this way ends as a loop");
            }
            Err(failure) if failure.exit == Exit::NotFound => {
                talk!(
                    "warning: {flag} {to} leads nowhere: no user has that number, and no user or device is called so"
                );
            }
            Ok(_) | Err(_) => {}
        }
    }
    if let Some(class) = fields.service_class.as_deref().filter(|class| !class.is_empty()) {
        talk!("warning: service class {class} is kept and changes nothing: this version knows no service classes");
    }
}

/// Whether there is somebody for a call to `dialled`: a number, an alias, a user or a device.
///
/// # Errors
/// When the node cannot be asked.
pub(crate) async fn leads_somewhere(client: &Client, dialled: &str) -> Outcome<bool> {
    match place_of(client, dialled).await {
        Ok(_) => Ok(true),
        Err(failure) if failure.exit == Exit::NotFound => Ok(false),
        Err(failure) => Err(failure),
    }
}

/// Turns the password into the digest for the federation's realm; it goes no further than this.
pub(super) async fn set_credentials(client: &Client, device: &mut pb::Device, secret: &Secret) -> Outcome {
    device.realm = realm(client).await?;
    device.md5_ha1 = password::ha1(&device.id, &device.realm, secret);
    Ok(())
}

/// The realm of the federation.
///
/// # Errors
/// When the node cannot be asked.
pub(crate) async fn realm(client: &Client) -> Outcome<String> {
    let request = pb::GetRequest {
        id: setting::REALM.to_owned(),
        ..pb::GetRequest::default()
    };
    let read = |mut api: Api| async move { api.get_setting(request).await };
    Ok(client.read_to_change(read).await?.value)
}

/// A password for a new or changed device, when one was given.
pub(super) async fn new_credentials(client: &Client, device: &mut pb::Device, args: &PasswordArgs) -> Outcome {
    match password::read_given(args)? {
        Some(secret) => set_credentials(client, device, &secret).await,
        None => Ok(()),
    }
}

async fn set(client: &Client, args: UserSetArgs, intent: Intent) -> Outcome {
    if args.fields == UserFields::default() {
        return Err(edit::nothing_named(&["user", "set"]));
    }
    let preferred = preferred(client, &args.fields.preferred_nodes).await?;
    let request = pb::GetRequest {
        id: args.id.clone(),
        ..pb::GetRequest::default()
    };
    let read = |mut api: Api| async move { api.get_user(request).await };
    let record = client.read_to_change(read).await?;
    let revision = record.stamp.unwrap_or_default().modified;
    let mut user = record.user.unwrap_or_default();
    edit::user(&mut user, args.fields.clone(), preferred);
    let expect = Some(pb::Expect {
        what: Some(pb::expect::What::Revision(revision)),
    });
    let put = pb::change::What::PutUser(pb::PutUserRequest {
        user: Some(user),
        expect,
    });
    change(client, intent, vec![put], format!("user {} changed", args.id)).await?;
    warn_of_loose_ends(client, &args.id, &args.fields).await;
    Ok(())
}

async fn show(client: &Client, id: &str, output: Output) -> Outcome {
    let get = |mut api: Api, consistency| {
        let request = pb::GetRequest {
            id: id.to_owned(),
            consistency,
            ..pb::GetRequest::default()
        };
        async move { api.get_user(request).await }
    };
    let user: UserView = client.read(get).await?.into();
    let devices = |mut api: Api, consistency| {
        let request = pb::ListRequest {
            user: id.to_owned(),
            consistency,
            ..pb::ListRequest::default()
        };
        async move { api.list_devices(request).await }
    };
    let devices: Vec<DeviceView> = client
        .read(devices)
        .await?
        .devices
        .into_iter()
        .map(Into::into)
        .collect();
    print(output, &UserDetail { user, devices })
}

async fn list(client: &Client, output: Output) -> Outcome {
    let users = all_users(client).await?.into_iter().map(Into::into).collect();
    print(output, &Users(users))
}

/// Every user, page by page.
///
/// # Errors
/// When the node cannot be asked.
pub(crate) async fn all_users(client: &Client) -> Outcome<Vec<pb::UserRecord>> {
    let request = pb::ListRequest::default();
    pages::all(client, request, |mut api, request| async move {
        api.list_users(request).await
    })
    .await
}

async fn remove(client: &Client, id: String, intent: Intent) -> Outcome {
    if !intent.yes && !intent.dry_run {
        let devices = super::device::all_devices(client, &id, false).await?;
        let ids: Vec<&str> = devices
            .iter()
            .flat_map(|record| &record.device)
            .map(|device| device.id.as_str())
            .collect();
        if !ids.is_empty() {
            intent.confirm(&format!(
                "User {id} goes with its devices ({}), their passwords and registrations. Go on?",
                ids.join(", ")
            ))?;
        }
    }
    let delete = pb::change::What::DeleteUser(pb::DeleteRequest {
        id: id.clone(),
        expect: None,
    });
    change(
        client,
        intent,
        vec![delete],
        format!("user {id} and its devices removed"),
    )
    .await
}

pub(super) async fn whereabouts(client: &Client, who: &str, output: Output) -> Outcome {
    print(output, &WhereView::from(place_of(client, who).await?))
}

async fn place_of(client: &Client, who: &str) -> Outcome<pb::WhereReply> {
    let ask = |mut api: Api, consistency| {
        let request = pb::GetRequest {
            id: who.to_owned(),
            consistency,
            ..pb::GetRequest::default()
        };
        async move { api.r#where(request).await }
    };
    client.read(ask).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn preferred_nodes_are_named_by_name_or_id_and_an_unknown_one_with_the_nearest() {
        let node = |id, name: &str| pb::Node {
            id,
            name: name.to_owned(),
            ..pb::Node::default()
        };
        let nodes = [node(1, "berlin"), node(2, "hamburg"), node(3, "2")];
        let ids = |named: &[&str]| {
            let named: Vec<String> = named.iter().map(|&text| text.to_owned()).collect();
            ids_of(&nodes, &named).map_err(|failure| failure.message)
        };
        assert_eq!(ids(&["hamburg", "1", "3"]), Ok(vec![2, 1, 3]));
        assert_eq!(ids(&["2"]), Ok(vec![2]), "an id before a name");
        assert_eq!(
            ids(&["1", "hamburk"]),
            Err(
                "there is no node hamburk to prefer; did you mean hamburg? there are berlin (id 1), hamburg (id 2), 2 (id 3)"
                    .to_owned()
            )
        );
        assert_eq!(
            ids(&["7"]),
            Err("there is no node 7 to prefer: there are berlin (id 1), hamburg (id 2), 2 (id 3)".to_owned())
        );
    }
}
