//! The program: builds a runtime, hands everything to the library, ends the process.

use std::ffi::OsString;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};

use snyk_export::coredump;
use snyk_export::exit::ExitCode;
use snyk_export::output::Output;
use snyk_export::settings::Environment;
use snyk_export::signals::Signals;
use tokio::runtime::Builder;

fn main() {
    end(start().unwrap_or_else(|error| fail(&error)))
}

fn start() -> io::Result<ExitCode> {
    coredump::forbid()?;
    let signals = Signals::listen(|second| end(ExitCode::of_signal(second)))?;
    let output = Output::start()?;
    let args: Vec<OsString> = std::env::args_os().collect();
    let runtime = match snyk_export::is_daemon(&args) {
        // The daemon's API answers whatever the daemon is doing.
        true => Builder::new_multi_thread().worker_threads(2).enable_all().build()?,
        // A server that floods us always has something to read. Timers and signals must be heard all the same.
        false => {
            Builder::new_current_thread().enable_all().event_interval(4).global_queue_interval(4).build()?
        }
    };
    let run = || {
        // A future of this size is made where it stays.
        runtime.block_on(async {
            snyk_export::run(args, Environment::read(), signals.clone(), output.clone()).await
        })
    };
    let code = catch_unwind(AssertUnwindSafe(run)).unwrap_or_else(|_| {
        // A panic is an unforeseen failure of ours like any other, and has its exit code; it has been told of.
        let _ = runtime.block_on(output.flush(signals.ended()));
        ExitCode::UNFORESEEN
    });
    // Does not wait for what cannot be called back, such as a name that is being looked up or a pipe being read.
    runtime.shutdown_background();
    Ok(code)
}

#[expect(clippy::print_stderr, reason = "nothing else is there yet to say it")]
fn fail(error: &io::Error) -> ExitCode {
    eprintln!("error: failed to start: {error}");
    ExitCode::UNFORESEEN
}

#[expect(clippy::exit, clippy::disallowed_methods, reason = "this is the one place that ends the process")]
fn end(code: ExitCode) -> ! {
    std::process::exit(i32::from(code.code()))
}
