//! The commands, one file each by the object they are about.

mod audit;
mod check;
mod debug;
mod device;
mod drift;
mod edit;
mod events;
mod explain;
mod invitation;
mod logs;
mod node;
mod plan;
mod route;
mod setting;
mod status;
mod token;
mod top;
mod user;
mod watch;

pub(super) use audit::Noted;
pub use check::Compared;
pub(crate) use check::compare;
pub(crate) use device::all_devices;
pub(crate) use node::all_nodes;
#[cfg(test)]
pub(crate) use status::fixture as status_fixture;
pub(super) use token::Ttl;
pub(crate) use user::{all_users, leads_somewhere, realm};

use super::access::Access;
use super::args::{CheckCommand, Cli, Command, DebugCommand, Output};
use super::change::Intent;
use super::client::Client;
use super::exit::{Exit, Failure, Outcome};
use super::output::emit;
use crate::backup::{BackupArgs, BackupCommand};
use crate::config::{self, Config, ConfigFlags, Secret};
use crate::{backup, dev, doctor, founding, install, leftovers, owner, recovery, roster, run};

/// Does what was asked.
///
/// # Errors
/// What went wrong, with the exit code.
pub async fn dispatch(cli: Cli) -> Outcome {
    let output = cli.output;
    let intent = Intent {
        output,
        dry_run: cli.dry_run,
        yes: cli.yes,
    };
    let config = |flags: &ConfigFlags| {
        config::load(cli.config.as_deref(), flags).map_err(|errors| Failure::of(Exit::Usage, &errors))
    };
    // What makes or repairs a data folder leaves its owner able to use it.
    let owned = |flags: &ConfigFlags| {
        let config = config(flags)?;
        owner::act_as_owner(&config.data_dir)?;
        Ok::<_, Failure>(config)
    };
    if matches!(cli.command, Command::Init(_) | Command::Backup(_)) {
        leftovers::clear_when_interrupted()?;
    }
    match cli.command {
        Command::Generate(_) | Command::Check(CheckCommand::Perf(_)) if intent.dry_run => Err(Failure::usage(
            "this has to write files to do what it is for, and changes nothing of the federation: leave --dry-run out",
        )),
        Command::Generate(args) => super::reference::generate(&args),
        Command::ExampleConfig if output == Output::Json => Err(Failure::usage(
            "what this prints is a file, in TOML: leave `-o json` out (the keys are in `fed-node generate reference`, and in the book)",
        )),
        Command::ExampleConfig => emit(config::example().trim_end()),
        Command::Init(args) if intent.dry_run => {
            founding::would_make(&config(&args.flags)?, "a new federation, with its first node,", output)
        }
        Command::Join(args) if intent.dry_run => {
            let what = "a further node, with an id from the federation,";
            founding::would_make(&config(&args.flags)?, what, output)
        }
        Command::Init(args) => founding::init(&owned(&args.flags)?, &args.realm, output),
        Command::Join(args) => founding::join(&owned(&args.flags)?, &args.with, output).await,
        Command::Run(_) | Command::Dev(_) if intent.dry_run => Err(Failure::usage(
            "this serves until it is stopped, it changes nothing by itself: leave --dry-run out",
        )),
        Command::Run(args) => {
            let config = config(&args.flags)?;
            owner::refuse_root(&config.data_dir)?;
            run::run(config).await
        }
        Command::Recover(args) => recovery::recover(&owned(&args.flags)?, intent),
        Command::AsteriskConfig(mut args) => {
            args.write &= !intent.dry_run;
            install::command(&config(&args.flags)?, &args, output).await
        }
        Command::Dev(args) => dev::dev(&args).await,
        Command::Explain(args) => explain::explain(&args, output),
        Command::Doctor(args) => doctor::command(cli.config.as_deref(), &args.flags, &cli.access, output).await,
        Command::Debug(DebugCommand::Bundle(args)) => {
            debug::bundle(cli.config.as_deref(), &cli.access, &args, intent).await
        }
        Command::Backup(BackupCommand::Restore(args)) => {
            let configured = config(&args.flags)?.backup.key_file;
            let key = backup::key_of(args.key_file.as_deref(), configured.as_deref(), false)?;
            backup::restore(&owned(&args.flags)?, &args.file, &key, intent)
        }
        Command::Backup(BackupCommand::Create(args)) => {
            let config = config(&ConfigFlags::default())?;
            let key = backup::key_of(args.key_file.as_deref(), config.backup.key_file.as_deref(), true)?;
            let client = connect(&cli.access, Ok(config)).await?;
            backup::create(&client, &args.file, &key, intent).await
        }
        Command::Backup(BackupCommand::Verify(args)) => {
            backup::verify(&args.file, &opening_key(&args, config)?, output)
        }
        Command::Backup(BackupCommand::Inspect(args)) => {
            backup::inspect(&args.file, &opening_key(&args, config)?, output)
        }
        asking => {
            let client = connect(&cli.access, config(&ConfigFlags::default())).await?;
            ask(client, asking, intent).await
        }
    }
}

/// The node named, or the one of the configuration. Whoever names one needs no configuration, but for what is in its data folder.
async fn connect(access: &Access, config: Outcome<Config>) -> Outcome<Client> {
    match (config, &access.server) {
        (Err(failure), None) => Err(failure),
        (config, _) => access.client(config.ok().as_ref()).await,
    }
}

/// The key of a backup that is there. The configuration is read only when no file was named.
fn opening_key(args: &BackupArgs, config: impl FnOnce(&ConfigFlags) -> Outcome<Config>) -> Outcome<Secret> {
    let configured = match &args.key_file {
        Some(_) => None,
        None => config(&ConfigFlags::default())?.backup.key_file,
    };
    backup::key_of(args.key_file.as_deref(), configured.as_deref(), false)
}

/// The commands that ask a running node.
async fn ask(client: Client, command: Command, intent: Intent) -> Outcome {
    use super::args::{TokenCommand, UserCommand};
    let output = intent.output;
    match command {
        Command::Status => status::status(&client, output).await,
        Command::User(UserCommand::Import(args)) => roster::import(&client, &args, intent).await,
        Command::User(UserCommand::Export) => roster::export(&client, output).await,
        Command::User(command) => user::user(&client, command, intent).await,
        Command::Device(command) => device::device(&client, command, intent).await,
        Command::Where { who } => user::whereabouts(&client, &who, output).await,
        Command::Token(TokenCommand::Join { ttl }) => invitation::join(&client, ttl.0, intent).await,
        Command::Node(command) => node::node(&client, command, intent).await,
        Command::Leave(args) => node::leave(&client, &args, intent).await,
        Command::Plan(command) => plan::plan(&client, command, output).await,
        Command::Apply { plan } => plan::apply(&client, plan, intent).await,
        Command::Route(args) => route::route(&client, args, output).await,
        Command::Watch(args) => watch::watch(&client, &args, output).await,
        Command::Drift(args) => drift::drift(&client, &args, output).await,
        Command::Check(command) => check::check(&client, &command, output).await,
        Command::Events(args) => events::events(&client, &args, output).await,
        Command::Logs(args) => logs::logs(&client, &args, output).await,
        Command::Setting(command) => setting::setting(&client, command, intent).await,
        Command::Token(command) => token::token(&client, command, intent).await,
        Command::Audit(command) => audit::audit(&client, command, output).await,
        Command::Top(args) => top::top(&client, &args, output).await,
        Command::ExampleConfig
        | Command::Generate(_)
        | Command::Explain(_)
        | Command::Doctor(_)
        | Command::Debug(_)
        | Command::Init(_)
        | Command::Join(_)
        | Command::Recover(_)
        | Command::Run(_)
        | Command::AsteriskConfig(_)
        | Command::Backup(_)
        | Command::Dev(_) => unreachable!("dispatched before a node is asked"),
    }
}
