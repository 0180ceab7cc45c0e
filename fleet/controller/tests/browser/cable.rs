//! A cable between browser and controller that can be cut, or go dead without a sign.

use std::net::SocketAddr;

use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// State of a cable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cable {
    /// Everything comes through.
    Whole,
    /// Connections break and new ones are refused.
    Cut,
    /// Nothing comes through, and nobody is told.
    Dead,
}

/// Lays a cable to `far`; gives its near end and what sets its state.
pub(crate) async fn lay(far: SocketAddr) -> (SocketAddr, watch::Sender<Cable>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let near = listener.local_addr().unwrap();
    let (sender, states) = watch::channel(Cable::Whole);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(carry(stream, far, states.clone()));
        }
    });
    (near, sender)
}

async fn carry(mut near: TcpStream, far: SocketAddr, mut states: watch::Receiver<Cable>) {
    if *states.borrow_and_update() == Cable::Whole {
        let Ok(mut far) = TcpStream::connect(far).await else {
            return;
        };
        tokio::select! {
            _ = copy_bidirectional(&mut near, &mut far) => return,
            _ = states.wait_for(|state| *state != Cable::Whole) => {}
        }
    }
    // What was under way over a dead cable does not come back when the cable does.
    let _ = states.wait_for(|state| *state == Cable::Cut).await;
}
