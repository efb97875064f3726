//! What users type to a running daemon.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};
use uuid::Uuid;

use super::{ExportsArgs, Output, id};

#[derive(Debug, Args)]
pub(crate) struct HealthcheckArgs {
    /// Ask whether it is ready too (/readyz): its store answers, and no credential is refused
    #[arg(long)]
    pub(crate) ready: bool,
}

// Which daemon, and how its answers are written.
#[derive(Debug, Args)]
#[command(next_help_heading = "Daemon")]
pub(crate) struct DaemonArgs {
    /// The address of the daemon; by default `[server] listen` of the settings file, else `http://127.0.0.1:8686`
    #[arg(long, global = true, value_name = "URL")]
    pub(crate) url: Option<String>,
    /// A file that holds a token of its API; by default `[server] token-file` of the settings file
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) api_token_file: Option<PathBuf>,
    /// What to write to standard output: a table, or a JSON document for each item, one a line
    #[arg(long, global = true, value_name = "FORMAT", value_enum, default_value_t = Output::Text)]
    pub(crate) output: Output,
}

#[derive(Debug, Args)]
pub(crate) struct WatchesArgs {
    #[command(flatten)]
    pub(crate) daemon: DaemonArgs,
    #[command(subcommand)]
    pub(crate) action: Option<WatchesAction>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum WatchesAction {
    /// List the watches; this is what `watches` alone does
    List {
        /// Only those in this state
        #[arg(long, value_name = "STATE", value_enum)]
        state: Option<State>,
    },
    /// Show all about a watch, with its notifications
    Show {
        /// The id of the watch
        #[arg(value_name = "ID", value_parser = id)]
        id: Uuid,
    },
    /// Follow exports
    Add(AddArgs),
    /// Stop following an export, without a notification
    Cancel {
        /// The id of the watch
        #[arg(value_name = "ID", value_parser = id)]
        id: Uuid,
    },
}

#[derive(Debug, Args)]
pub(crate) struct AddArgs {
    #[command(flatten)]
    pub(crate) exports: ExportsArgs,
    /// The account whose credential is used, as the daemon's settings name it
    #[arg(long, value_name = "NAME")]
    pub(crate) account: Option<String>,
    /// A label for the notifications (repeatable)
    #[arg(long = "label", value_name = "KEY=VALUE", value_parser = label)]
    pub(crate) labels: Vec<(String, String)>,
}

fn label(text: &str) -> Result<(String, String), &'static str> {
    let (key, value) = text.split_once('=').ok_or("expected KEY=VALUE, such as team=payments")?;
    Ok((key.to_owned(), value.to_owned()))
}

/// Whether a watch has ended.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum State {
    Active,
    Ended,
}

impl State {
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Ended => "ended",
        }
    }
}

#[derive(Debug, Args)]
pub(crate) struct DeliveriesArgs {
    #[command(flatten)]
    pub(crate) daemon: DaemonArgs,
    #[command(subcommand)]
    pub(crate) action: Option<DeliveriesAction>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum DeliveriesAction {
    /// List the notifications; this is what `deliveries` alone does
    List {
        /// Only those in this state
        #[arg(long, value_name = "STATE", value_parser = ["pending", "sent", "undeliverable"])]
        state: Option<String>,
    },
    /// Send a notification again, under the same id
    Redeliver {
        /// What it is about, as the list says: a watch or another event; or the notification's own id
        #[arg(value_name = "ID")]
        id: String,
        /// The endpoint, unless ID is the notification's own
        #[arg(value_name = "ENDPOINT")]
        endpoint: Option<String>,
    },
}
