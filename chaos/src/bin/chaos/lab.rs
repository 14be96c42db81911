//! `chaos lab`.

use std::error::Error;
use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};
use fed_chaos::Verdict;
use fed_chaos::network::Backend;
use fed_chaos::plan::Clock;
use fed_chaos::run::{Setup, lab};

/// Arguments of the command.
#[derive(Args)]
pub(crate) struct Lab {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    /// Bring a cluster up, and keep it until `chaos lab down` or Ctrl-C.
    Up(Up),
    /// Say how every node is.
    Status,
    /// Cut the wires into parts.
    Partition {
        /// leader-alone, leader-in-minority, leader-in-majority, halves, all-apart, ring or bridge.
        shape: String,
    },
    /// Make every wire whole.
    Heal,
    /// Do one action of a plan, such as: chaos lab do 'do = "pause", who = "leader", ms = 3000'
    Do {
        /// The action, its fields with commas between.
        action: String,
    },
    /// End the lab.
    Down,
}

#[derive(Args)]
struct Up {
    /// How many nodes.
    #[arg(long, default_value_t = 5)]
    nodes: usize,
    /// What the wires are made of.
    #[arg(long, value_enum, default_value_t = Wires::Switch)]
    backend: Wires,
    /// Decides every chance.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// The fed-node to test; without it the one beside this program.
    #[arg(long, value_name = "FILE")]
    fed_node: Option<PathBuf>,
}

#[derive(Clone, Copy, ValueEnum)]
enum Wires {
    /// A switch of our own; needs root.
    Switch,
    /// A kernel bridge and nftables; cuts only, needs root.
    Nftables,
    /// TCP proxies on loopback; needs nothing.
    Proxy,
}

impl Lab {
    pub(crate) fn run(&self) -> Result<Verdict, Box<dyn Error>> {
        let said = match &self.what {
            What::Up(up) => {
                up.run()?;
                return Ok(Verdict::True);
            }
            What::Status => lab::ask("status")?,
            What::Partition { shape } => lab::ask(&format!("do = \"split\", shape = {shape:?}"))?,
            What::Heal => lab::ask("do = \"heal\"")?,
            What::Do { action } => lab::ask(action)?,
            What::Down => lab::ask("down")?,
        };
        println!("{said}");
        Ok(Verdict::True)
    }
}

impl Up {
    fn run(&self) -> Result<(), Box<dyn Error>> {
        let setup = Setup {
            binary: super::fed_node_binary(self.fed_node.as_deref())?,
            backend: match self.backend {
                Wires::Switch => Backend::Switch,
                Wires::Nftables => Backend::Nftables,
                Wires::Proxy => Backend::Proxy,
            },
            nodes: self.nodes,
            spare: 4,
            seed: self.seed,
            clocks: Clock::Real,
            disks: false,
            flags: Vec::new(),
        };
        lab::serve(setup, |words| println!("{words}"))?;
        Ok(())
    }
}
