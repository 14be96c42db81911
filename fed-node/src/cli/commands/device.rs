//! `device add|set|show|list|remove`.

use fed_proto::client as pb;
use pb::change::What;

use super::{edit, user};
use crate::api::reserved;
use crate::cli::args::{DeviceAddArgs, DeviceCommand, DeviceFields, DeviceSetArgs, PasswordArgs};
use crate::cli::change::{Intent, change};
use crate::cli::client::{Api, Client};
use crate::cli::exit::{Failure, Outcome};
use crate::cli::output::print;
use crate::cli::pages;
use crate::cli::password;
use crate::cli::views::{DeviceView, Devices};

pub(super) async fn device(client: &Client, command: DeviceCommand, intent: Intent) -> Outcome {
    let output = intent.output;
    match command {
        DeviceCommand::Add(args) => add(client, args, intent).await,
        DeviceCommand::Set(args) => set(client, args, intent).await,
        DeviceCommand::Show { id } => {
            let get = |mut api: Api, consistency| {
                let request = pb::GetRequest {
                    id: id.clone(),
                    consistency,
                    with_credentials: false,
                };
                async move { api.get_device(request).await }
            };
            print(output, &DeviceView::from(client.read(get).await?))
        }
        DeviceCommand::List { user } => {
            let devices = all_devices(client, user.as_deref().unwrap_or_default(), false).await?;
            print(output, &Devices(devices.into_iter().map(Into::into).collect()))
        }
        DeviceCommand::Remove { id } => {
            intent.confirm(&format!("Device {id} goes with its password and registrations. Go on?"))?;
            let done = format!("device {id} removed");
            let delete = What::DeleteDevice(pb::DeleteRequest { id, expect: None });
            change(client, intent, vec![delete], done).await
        }
    }
}

async fn add(client: &Client, args: DeviceAddArgs, intent: Intent) -> Outcome {
    let mut device = edit::new_device(&args.id, &args.user);
    edit::device(&mut device, args.fields);
    fed_core::ids::DeviceId::new(args.id.clone()).map_err(Failure::usage)?;
    reserved::new_device(&args.id).map_err(Failure::usage)?;
    let secret = password::read(&args.password, &args.id)?;
    user::set_credentials(client, &mut device, &secret).await?;
    let expect = Some(pb::Expect {
        what: Some(pb::expect::What::Absent(true)),
    });
    let put = What::PutDevice(pb::PutDeviceRequest {
        device: Some(device),
        expect,
    });
    let done = format!("device {} added to user {}", args.id, args.user);
    change(client, intent, vec![put], done).await
}

async fn set(client: &Client, args: DeviceSetArgs, intent: Intent) -> Outcome {
    if args.fields == DeviceFields::default() && args.user.is_none() && args.password == PasswordArgs::default() {
        return Err(edit::nothing_named(&["device", "set"]));
    }
    let request = pb::GetRequest {
        id: args.id.clone(),
        ..pb::GetRequest::default()
    };
    let read = |mut api: Api| async move { api.get_device(request).await };
    let record = client.read_to_change(read).await?;
    let revision = record.stamp.unwrap_or_default().modified;
    let mut device = record.device.unwrap_or_default();
    edit::device(&mut device, args.fields);
    if let Some(owner) = args.user {
        device.user = owner;
    }
    user::new_credentials(client, &mut device, &args.password).await?;
    let expect = Some(pb::Expect {
        what: Some(pb::expect::What::Revision(revision)),
    });
    let put = What::PutDevice(pb::PutDeviceRequest {
        device: Some(device),
        expect,
    });
    change(client, intent, vec![put], format!("device {} changed", args.id)).await
}

/// Every device, or those of one user, page by page.
///
/// # Errors
/// When the node cannot be asked.
pub(crate) async fn all_devices(client: &Client, user: &str, with_credentials: bool) -> Outcome<Vec<pb::DeviceRecord>> {
    let request = pb::ListRequest {
        user: user.to_owned(),
        with_credentials,
        ..pb::ListRequest::default()
    };
    pages::all(client, request, |mut api, request| async move {
        api.list_devices(request).await
    })
    .await
}
