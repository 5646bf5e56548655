//! Applies faults to a running prompt.
use std::time::Duration;

use crate::{
    exception::Exception,
    faults::FaultKind,
    python_json,
    run::{Progress, Stop},
    server::Server,
};

/// Applies the faults that are due after the steps taken so far.
pub(crate) async fn apply(server: &Server, progress: &mut Progress<'_>) -> Result<(), Stop> {
    let prompt = || python_json::text(&serde_json::Value::Object(progress.item.prompt.clone()));
    let due = server.state().faults.of_prompt(progress.steps, prompt);
    if server.state().cuda_broken {
        return Err(Exception::cuda_error().into());
    }
    for fault in due {
        match fault {
            FaultKind::Crash => die(server).await,
            FaultKind::Hang => std::future::pending().await,
            FaultKind::IgnoreInterrupt => progress.interruptible = false,
            // The thread serves all requests, so the whole server stands still.
            FaultKind::Stall { millis } => std::thread::sleep(Duration::from_millis(millis)),
            FaultKind::OutOfMemory => return Err(Exception::out_of_memory().into()),
            FaultKind::CudaError => {
                server.state().cuda_broken = true;
                return Err(Exception::cuda_error().into());
            }
            FaultKind::Raise { exception, message } => return Err(Exception::new(&exception, message).into()),
            FaultKind::Silence => server.sockets.silence(true),
            FaultKind::DropSockets => server.sockets.cut(),
            FaultKind::BlackImage => progress.black = true,
            FaultKind::Leak { megabytes } => {
                let fits = server.state().memory.leak(megabytes, &server.options.machine);
                if !fits {
                    die(server).await;
                }
            }
            FaultKind::SlowLoad { .. }
            | FaultKind::PromptError
            | FaultKind::DiskFull
            | FaultKind::HalfFile
            | FaultKind::EmptyFile
            | FaultKind::NoModels
            | FaultKind::MissingNode { .. }
            | FaultKind::IgnoreSigterm
            | FaultKind::Answer { .. } => {}
        }
    }
    Ok(())
}

/// Ends the server as SIGKILL does.
pub(crate) async fn die(server: &Server) {
    server.down.cancel();
    std::future::pending::<()>().await;
}
