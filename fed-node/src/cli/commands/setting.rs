//! `setting list|get|set|unset`.

use fed_proto::client as pb;

use crate::cli::args::{Output, SettingCommand};
use crate::cli::client::{Api, Client};
use crate::cli::exit::Outcome;
use crate::cli::output::print;
use crate::cli::views::{Done, SettingView, Settings};

pub(super) async fn setting(client: &Client, command: SettingCommand, output: Output) -> Outcome {
    match command {
        SettingCommand::List => {
            let list = |mut api: Api, consistency| async move {
                api.list_settings(pb::ListRequest {
                    consistency,
                    ..pb::ListRequest::default()
                })
                .await
            };
            let settings = client.read(list).await?.settings;
            print(output, &Settings(settings.into_iter().map(Into::into).collect()))
        }
        SettingCommand::Get { key } => {
            let get = |mut api: Api, consistency| {
                let request = pb::GetRequest {
                    id: key.clone(),
                    consistency,
                    with_credentials: false,
                };
                async move { api.get_setting(request).await }
            };
            print(output, &SettingView::from(client.read(get).await?))
        }
        SettingCommand::Set { key, value } => {
            let request = pb::PutSettingRequest {
                key: key.clone(),
                value,
                expect: None,
            };
            let reply = client.api.clone().put_setting(request).await?.into_inner();
            print(
                output,
                &Done {
                    text: format!("setting {key} set"),
                    revision: reply.revision,
                },
            )
        }
        SettingCommand::Unset { key } => {
            let request = pb::DeleteRequest {
                id: key.clone(),
                expect: None,
            };
            let reply = client.api.clone().delete_setting(request).await?.into_inner();
            print(
                output,
                &Done {
                    text: format!("setting {key} is at its default again"),
                    revision: reply.revision,
                },
            )
        }
    }
}
