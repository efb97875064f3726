//! The program: builds a runtime, hands everything to the library, ends the process.

use std::io;

use snyk_export::exit::ExitCode;
use snyk_export::settings::Environment;
use snyk_export::signals::{Signals, on_second};

fn main() {
    // A panic is an unforeseen failure of ours like any other, and has its exit code.
    let code = std::panic::catch_unwind(|| start().unwrap_or_else(|error| fail(&error)));
    end(code.unwrap_or(ExitCode::UNFORESEEN))
}

fn start() -> io::Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let code = runtime.block_on(async {
        let signals = Signals::listen()?;
        on_second(|signal| end(ExitCode::of_signal(signal)))?;
        Ok(snyk_export::run(std::env::args_os().collect(), Environment::read(), signals).await)
    });
    // Does not wait for what cannot be called back, such as a name that is being looked up or a pipe being read.
    runtime.shutdown_background();
    code
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
