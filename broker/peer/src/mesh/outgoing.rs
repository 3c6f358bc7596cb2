//! What is sent to one member, and the connection that is kept for it.

use std::sync::Arc;
use std::time::Duration;

use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio::net::tcp::OwnedReadHalf;
use tokio::sync::mpsc;
use tracing::{debug, info};

use super::ship::{Freight, Ship};
use super::{Inbound, LinkError, Mesh, resolve, write_frame};
use crate::codec::Frame;

/// A connection that is not made in this time is given up.
const CONNECT_WAIT: Duration = Duration::from_secs(1);
/// Between two tries.
const PAUSE: Duration = Duration::from_millis(100);
/// The pause grows to this where nobody can be reached.
const PAUSE_MAX: Duration = Duration::from_secs(1);
/// Frames that wait for a connection; with more of them it is given up.
const WAITING_MAX: usize = 1024;

/// The way to one member.
#[derive(Clone, Debug)]
pub(crate) struct Outbox {
    orders: mpsc::Sender<Order>,
}

/// What the writer of a connection does.
#[derive(Debug)]
enum Order {
    Send(Frame),
    Stream(Ship),
    Halt,
}

impl Outbox {
    /// Sends a frame; if too many wait already, the connection ends.
    pub(crate) fn send(&self, frame: Frame) {
        self.order(Order::Send(frame));
    }

    /// Ships the log from now on.
    pub(crate) fn stream(&self, ship: Ship) {
        self.order(Order::Stream(ship));
    }

    /// Ships no more of the log.
    pub(crate) fn halt(&self) {
        self.order(Order::Halt);
    }

    /// Whether the connection has ended.
    pub(crate) fn is_closed(&self) -> bool {
        self.orders.is_closed()
    }

    fn order(&self, order: Order) {
        if let Err(mpsc::error::TrySendError::Full(_)) = self.orders.try_send(order) {
            debug!("a member takes nothing; its connection will be given up");
        }
    }
}

/// Keeps a connection to a member until the mesh stops.
pub(super) async fn dial(mesh: Mesh, ordinal: u32, address: String, freight: Arc<Freight>) {
    let mut said = String::new();
    let mut pause = PAUSE;
    loop {
        let ended = tokio::select! {
            ended = connect(&mesh, &address, &freight) => ended,
            () = mesh.stop.cancelled() => return,
        };
        let is_refused = matches!(&ended, Err(LinkError::Io(error)) if error.kind() == std::io::ErrorKind::ConnectionRefused);
        // Where there is no machine there may be none for long.
        pause = if ended.is_ok() || is_refused { PAUSE } else { (2 * pause).min(PAUSE_MAX) };
        let says = ended.err().map(|error| error.to_string()).unwrap_or_default();
        // A member that there is not, or not yet, is missing all the time: that is told once.
        if !says.is_empty() && says != said {
            info!(ordinal, address, error = says, "no connection to a member");
        }
        said = says;
        if is_refused && mesh.tell(Inbound::Refused { ordinal }).await.is_err() {
            return;
        }
        tokio::time::sleep(pause).await;
    }
}

async fn connect(mesh: &Mesh, address: &str, freight: &Arc<Freight>) -> Result<(), LinkError> {
    let address = resolve(address).await?;
    let connecting = tokio::time::timeout(CONNECT_WAIT, TcpStream::connect(address));
    let mut stream = connecting.await.map_err(|_| std::io::Error::from(std::io::ErrorKind::TimedOut))??;
    let member = mesh.greet(&mut stream).await?;
    let (orders, waiting) = mpsc::channel(WAITING_MAX);
    mesh.tell(Inbound::Up { member, outbox: Outbox { orders } }).await?;
    let ended = write(stream, waiting, freight).await;
    mesh.tell(Inbound::Down { member }).await?;
    ended
}

async fn write(
    stream: TcpStream,
    mut orders: mpsc::Receiver<Order>,
    freight: &Arc<Freight>,
) -> Result<(), LinkError> {
    let (mut reader, mut writer) = stream.into_split();
    let mut ship: Option<Ship> = None;
    loop {
        if let Some(under_way) = &mut ship
            && orders.is_empty()
            && under_way.ship(freight, &mut writer).await?
        {
            continue;
        }
        let Some(order) = next(&mut orders, ship.as_ref(), freight, &mut reader).await? else { continue };
        if orders.len() + 1 >= WAITING_MAX {
            return Err(ended());
        }
        match order {
            Order::Send(frame) => write_frame(&mut writer, &frame).await?,
            Order::Stream(begun) => ship = Some(begun),
            Order::Halt => ship = None,
        }
    }
}

/// The next order; none when there is more to ship.
async fn next(
    orders: &mut mpsc::Receiver<Order>,
    ship: Option<&Ship>,
    freight: &Freight,
    reader: &mut OwnedReadHalf,
) -> Result<Option<Order>, LinkError> {
    let more = async {
        match ship {
            Some(ship) => freight.more(ship.at).await,
            None => std::future::pending().await,
        }
    };
    let mut nothing = [0];
    tokio::select! {
        order = orders.recv() => order.map(Some).ok_or(LinkError::Stopped),
        () = more => Ok(None),
        // The peer never sends here: what can be read is the end.
        _ = reader.read(&mut nothing) => Err(ended()),
    }
}

fn ended() -> LinkError {
    LinkError::Io(std::io::Error::from(std::io::ErrorKind::ConnectionReset))
}
