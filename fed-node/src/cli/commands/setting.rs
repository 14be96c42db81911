//! `setting list|get|set|unset`.

use fed_proto::client as pb;
use pb::change::What;

use crate::cli::args::SettingCommand;
use crate::cli::change::{Intent, change};
use crate::cli::client::{Api, Client};
use crate::cli::exit::Outcome;
use crate::cli::output::print;
use crate::cli::views::{SettingView, Settings};

pub(super) async fn setting(client: &Client, command: SettingCommand, intent: Intent) -> Outcome {
    let output = intent.output;
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
            let done = format!("setting {key} set");
            let put = What::PutSetting(pb::PutSettingRequest {
                key,
                value,
                expect: None,
            });
            change(client, intent, vec![put], done).await
        }
        SettingCommand::Unset { key } => {
            let done = format!("setting {key} is at its default again");
            let delete = What::DeleteSetting(pb::DeleteRequest { id: key, expect: None });
            change(client, intent, vec![delete], done).await
        }
    }
}
