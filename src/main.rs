//! The program: builds a runtime, hands everything to the library, ends the process.

use snyk_export::exit::ExitCode;
use snyk_export::settings::Environment;
use snyk_export::signals::Signals;

fn main() {
    // A panic is an unforeseen failure of ours like any other, and has its exit code.
    let code = std::panic::catch_unwind(start).unwrap_or(ExitCode::UNFORESEEN);
    end(code)
}

fn start() -> ExitCode {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    // Looks at timers and signals between any two steps: a server that floods us must not keep us from them.
    let runtime = match builder.enable_all().event_interval(1).build() {
        Ok(runtime) => runtime,
        Err(error) => return fail(&error),
    };
    runtime.block_on(async {
        match Signals::listen() {
            Ok(signals) => {
                snyk_export::run(std::env::args_os().collect(), Environment::read(), signals).await
            }
            Err(error) => fail(&error),
        }
    })
}

#[expect(clippy::print_stderr, reason = "nothing else is there yet to say it")]
fn fail(error: &std::io::Error) -> ExitCode {
    eprintln!("error: failed to start: {error}");
    ExitCode::UNFORESEEN
}

/// Ends without waiting for what still runs: a name that is being looked up cannot be called back.
#[expect(clippy::exit, clippy::disallowed_methods, reason = "this is the one place that ends the process")]
fn end(code: ExitCode) -> ! {
    std::process::exit(i32::from(code.code()))
}
