//! A way to a server that takes longer, and is as wide as before: each piece is passed on so long after it came.
//!
//! It has threads of its own, for the runtime's timers count in whole milliseconds.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

/// Bytes read at once.
const PIECE_BYTES: usize = 256 << 10;

/// Pieces on their way: more than any delay here lets come together.
const PIECES: usize = 4_096;

/// Listens, and passes everything on to `port` with this delay each way; the port to call instead. It ends with the process.
pub(super) fn start(port: u16, delay: Duration) -> anyhow::Result<u16> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let address = listener.local_addr()?;
    thread::spawn(move || {
        for near in listener.incoming() {
            // A connection that cannot be passed on is closed: its caller hears of it.
            let Ok(near) = near else { continue };
            let Ok(far) = TcpStream::connect((Ipv4Addr::LOCALHOST, port)) else { continue };
            let _ = join(&near, &far, delay).and_then(|()| join(&far, &near, delay));
        }
    });
    Ok(address.port())
}

fn join(from: &TcpStream, to: &TcpStream, delay: Duration) -> std::io::Result<()> {
    to.set_nodelay(true)?;
    let (from, to) = (from.try_clone()?, to.try_clone()?);
    let (sender, receiver) = sync_channel(PIECES);
    thread::spawn(move || take(from, &sender));
    thread::spawn(move || give(to, &receiver, delay));
    Ok(())
}

fn take(mut from: TcpStream, pieces: &SyncSender<(Instant, Vec<u8>)>) {
    let mut buffer = vec![0; PIECE_BYTES];
    while let Ok(length @ 1..) = from.read(&mut buffer) {
        let Some(piece) = buffer.get(..length) else { return };
        if pieces.send((Instant::now(), piece.to_vec())).is_err() {
            return;
        }
    }
}

fn give(mut to: TcpStream, pieces: &Receiver<(Instant, Vec<u8>)>, delay: Duration) {
    while let Ok((came, piece)) = pieces.recv() {
        thread::sleep((came + delay).saturating_duration_since(Instant::now()));
        if to.write_all(&piece).is_err() {
            return;
        }
    }
    // The other side ended; whether this one did before does not matter.
    let _ = to.shutdown(Shutdown::Write);
}
