//! The commands, one file each by the object they are about.

mod check;
mod device;
mod drift;
mod edit;
mod events;
mod explain;
mod logs;
mod node;
mod route;
mod setting;
mod status;
mod user;
mod watch;

pub(crate) use device::all_devices;
pub(crate) use user::{all_users, realm};

use super::args::{Cli, Command};
use super::client::Client;
use super::exit::{Exit, Failure, Outcome};
use super::output::emit;
use crate::address::Address;
use crate::config::{self, ConfigFlags};
use crate::{dev, founding, install, owner, recovery, roster, run};

/// Does what was asked.
///
/// # Errors
/// What went wrong, with the exit code.
pub async fn dispatch(cli: Cli) -> Outcome {
    let output = cli.output;
    let config = |flags: &ConfigFlags| {
        config::load(cli.config.as_deref(), flags).map_err(|errors| Failure::of(Exit::Usage, &errors))
    };
    // What makes or repairs a data folder leaves its owner able to use it.
    let owned = |flags: &ConfigFlags| {
        let config = config(flags)?;
        owner::act_as_owner(&config.data_dir)?;
        Ok::<_, Failure>(config)
    };
    match cli.command {
        Command::Generate(args) => super::reference::generate(&args),
        Command::ExampleConfig => emit(config::example().trim_end()),
        Command::Init(args) => founding::init(&owned(&args.flags)?, &args.realm),
        Command::Join(args) => founding::join(&owned(&args.flags)?, &args.seed).await,
        Command::Run(args) => {
            let config = config(&args.flags)?;
            owner::refuse_root(&config.data_dir)?;
            run::run(config).await
        }
        Command::Recover(args) => recovery::recover(&owned(&args.flags)?, args.yes, output),
        Command::AsteriskConfig(args) => install::command(&config(&args.flags)?, &args, output).await,
        Command::Dev(args) => dev::dev(&args).await,
        Command::Explain(args) => explain::explain(&args, output),
        asking => {
            let address = match &cli.server {
                Some(address) => address.clone(),
                None => default_server(config(&ConfigFlags::default())?.client.listen),
            };
            ask(Client::connect(&address).await?, asking, output).await
        }
    }
}

/// A wildcard is listened on, but not talked to.
fn default_server(listen: Address) -> Address {
    match listen.host() {
        "0.0.0.0" => Address::from(std::net::SocketAddr::from(([127, 0, 0, 1], listen.port()))),
        "::" => Address::from(std::net::SocketAddr::from((
            std::net::Ipv6Addr::LOCALHOST,
            listen.port(),
        ))),
        _ => listen,
    }
}

/// The commands that ask a running node.
async fn ask(client: Client, command: Command, output: super::args::Output) -> Outcome {
    use super::args::UserCommand;
    match command {
        Command::Status => status::status(&client, output).await,
        Command::User(UserCommand::Import(args)) => roster::import(&client, &args, output).await,
        Command::User(UserCommand::Export) => roster::export(&client).await,
        Command::User(command) => user::user(&client, command, output).await,
        Command::Device(command) => device::device(&client, command, output).await,
        Command::Where { who } => user::whereabouts(&client, &who, output).await,
        Command::Node(command) => node::node(&client, command, output).await,
        Command::Leave(args) => node::leave(&client, &args, output).await,
        Command::Route(args) => route::route(&client, args, output).await,
        Command::Watch(args) => watch::watch(&client, &args, output).await,
        Command::Drift(args) => drift::drift(&client, &args, output).await,
        Command::Setting(command) => setting::setting(&client, command, output).await,
        Command::Check(command) => check::check(&client, &command, output).await,
        Command::Events(args) => events::events(&client, &args, output).await,
        Command::Logs(args) => logs::logs(&client, &args, output).await,
        Command::ExampleConfig
        | Command::Generate(_)
        | Command::Explain(_)
        | Command::Init(_)
        | Command::Join(_)
        | Command::Recover(_)
        | Command::Run(_)
        | Command::AsteriskConfig(_)
        | Command::Dev(_) => unreachable!("dispatched before a node is asked"),
    }
}
