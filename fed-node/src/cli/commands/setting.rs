//! `setting list|get|set|unset`.

use std::io::BufRead;
use std::path::Path;

use fed_proto::client as pb;
use pb::change::What;

use crate::api::settings::known;
use crate::cli::args::SettingCommand;
use crate::cli::change::{Intent, change};
use crate::cli::client::{Api, Client};
use crate::cli::exit::{Failure, Outcome};
use crate::cli::output::print;
use crate::cli::views::{SettingView, Settings};
use crate::config::read_secret_file;

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
        SettingCommand::Set { key, value, value_file } => {
            let value = given(&key, value, value_file.as_deref())?;
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

/// The value, from where it was given. One that is secret stands in no list of processes.
fn given(key: &str, value: Option<String>, file: Option<&Path>) -> Outcome<String> {
    let secret = known(key).is_some_and(|known| known.secret);
    let line = match (value, file) {
        (_, Some(file)) => read_secret_file(file).map_err(Failure::usage)?.reveal().to_owned(),
        (Some(value), None) if value == "-" => first_line(key)?,
        (Some(_), None) if secret => {
            return Err(Failure::usage(format!(
                "{key} is a secret, and arguments can be read by every user of this machine: give another value on stdin (`fed-node setting set {key} -`) or in a file (--value-file FILE); nothing was changed"
            )));
        }
        (Some(value), None) => return Ok(value),
        (None, None) => String::new(),
    };
    if line.is_empty() {
        return Err(Failure::usage(format!(
            "the value of {key} is empty; nothing was changed"
        )));
    }
    Ok(line)
}

fn first_line(key: &str) -> Outcome<String> {
    let mut line = String::new();
    let read = std::io::stdin().lock().read_line(&mut line);
    read.map_err(|why| {
        Failure::usage(format!(
            "the value of {key} on stdin cannot be read: {why}; nothing was changed"
        ))
    })?;
    Ok(line.trim_end_matches(['\r', '\n']).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_taken_from_a_file_and_never_from_an_argument() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("key");
        crate::security::write_private(&file, "canary\n").unwrap();
        assert_eq!(given("capability_key", None, Some(&file)).unwrap(), "canary");
        let refused = given("capability_key", Some("canary".to_owned()), None).unwrap_err();
        assert!(refused.message.contains("setting set capability_key -") && !refused.message.contains("canary"));
        assert_eq!(given("hop_limit", Some("5".to_owned()), None).unwrap(), "5");
    }
}
