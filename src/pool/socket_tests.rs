use tokio::net::TcpListener;
use tokio::time::{advance, pause};
use tokio_tungstenite::{accept_async, client_async_with_config};

use super::*;

const SOON: Duration = Duration::from_secs(30);

/// A connection, and the server's side of it.
async fn pair() -> (Socket, WebSocketStream<TcpStream>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let client = async {
        let stream = TcpStream::connect(address).await.unwrap();
        let addresses = (stream.local_addr().unwrap(), stream.peer_addr().unwrap());
        let stream = MaybeTlsStream::Plain(stream);
        let (stream, _) = client_async_with_config("ws://localhost/", stream, Some(config()))
            .await
            .unwrap();
        start(stream, addresses)
    };
    let server = async {
        let (stream, _) = listener.accept().await.unwrap();
        accept_async(stream).await.unwrap()
    };
    tokio::join!(client, server)
}

/// Sends more than there are places for, and waits until all places are taken.
async fn fill(socket: &Socket, server: &mut WebSocketStream<TcpStream>, n_messages: usize) {
    for n in 0..n_messages {
        server.send(Message::text(n.to_string())).await.unwrap();
    }
    let filled = async {
        while socket.incoming.len() < INCOMING_MAX {
            tokio::task::yield_now().await;
        }
    };
    timeout(SOON, filled).await.unwrap();
}

async fn next(socket: &mut Socket) -> Option<String> {
    timeout(SOON, socket.next()).await.unwrap()
}

#[tokio::test]
async fn a_full_queue_ends_the_connection() {
    let (mut socket, mut server) = pair().await;
    for n in 0..OUTGOING_MAX {
        assert!(socket.send(n.to_string()), "{n} waits");
    }
    assert!(!socket.send("too much".to_owned()));
    assert_eq!(next(&mut socket).await, None, "the next that is heard");
    assert!(!socket.refresh() && !socket.send("more".to_owned()));
    let read = async { while let Some(Ok(_)) = server.next().await {} };
    timeout(SOON, read).await.expect("the server sees the end");
}

#[tokio::test]
async fn who_does_not_read_can_send_and_loses_nothing() {
    let (mut socket, mut server) = pair().await;
    let n_messages = INCOMING_MAX + 50;
    fill(&socket, &mut server, n_messages).await;
    assert!(socket.send("here I am".to_owned()));
    let heard = timeout(SOON, server.next()).await.expect("it is sent");
    assert_eq!(heard.unwrap().unwrap(), Message::text("here I am"));
    for n in 0..n_messages {
        assert_eq!(next(&mut socket).await, Some(n.to_string()));
    }
    server.close(None).await.unwrap();
    assert_eq!(next(&mut socket).await, None);
}

#[tokio::test]
async fn who_never_reads_is_left() {
    let (mut socket, mut server) = pair().await;
    fill(&socket, &mut server, INCOMING_MAX + 50).await;
    pause();
    // Once more than enough when the one that there is no place for is read only now.
    for _ in 0..100 {
        if !socket.outgoing.is_closed() {
            advance(SILENCE_MAX).await;
        }
    }
    assert!(!socket.refresh());
}

#[tokio::test]
async fn bytes_that_wait_to_be_read_are_bounded_and_none_is_lost() {
    let (mut socket, mut server) = pair().await;
    let n_messages = 16;
    let sending = tokio::spawn(async move {
        for n in 0..n_messages {
            let text = format!("{n} {}", "x".repeat(1 << 20));
            server.send(Message::text(text)).await.unwrap();
        }
        server
    });
    let filled = async {
        while socket.incoming.len() < 3 {
            tokio::task::yield_now().await;
        }
    };
    timeout(SOON, filled).await.unwrap();
    // A ping goes through the same task: it has done what it does before it answers this.
    assert!(socket.send("here I am".to_owned()));
    assert!(!sending.is_finished(), "the server has to wait");
    assert_eq!(
        socket.incoming.len(),
        3,
        "the fourth of 1 MiB and a few bytes has no room"
    );
    for n in 0..n_messages {
        let text = next(&mut socket).await.expect("it is there");
        assert!(text.starts_with(&format!("{n} ")));
    }
    timeout(SOON, sending).await.unwrap().unwrap();
}

#[tokio::test]
async fn bytes_that_wait_to_be_sent_are_bounded() {
    let (socket, _server) = pair().await;
    let before = Excess::Outgoing.counted();
    let message = "x".repeat(1 << 20);
    let n_sent = (0..1000)
        .take_while(|_| socket.send(message.clone()))
        .count();
    assert_eq!(n_sent, OUTGOING_BYTES_MAX >> 20);
    assert!(Excess::Outgoing.counted() > before);
}

#[tokio::test]
async fn a_message_beyond_the_bound_ends_the_connection() {
    let (mut socket, mut server) = pair().await;
    let before = Excess::Message.counted();
    let text = "x".repeat(MESSAGE_BYTES_MAX + 1);
    // It may be refused before all of it is sent.
    let sending = tokio::spawn(async move { server.send(Message::text(text)).await.ok() });
    assert_eq!(next(&mut socket).await, None);
    assert!(Excess::Message.counted() > before);
    timeout(SOON, sending).await.unwrap().unwrap();
}
