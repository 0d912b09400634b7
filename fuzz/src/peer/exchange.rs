//! Commands and responses, exchanged with a hostile peer.

use super::region::Region;
use super::said::Order;
use ivshmem::channel::{COMMAND_RESPONSE, LinkState, RecvError};
use ivshmem::fake::input::Input;
use ivshmem_peer::{Exchange, MAX_MESSAGE, mailbox};

pub fn run(input: &Input<'_>) {
    let region = Region::new(input);
    let mut mailbox = mailbox(&*region.backend, region.end).expect("the file is long enough");
    let mut exchange = Exchange::attach(&mut mailbox, &*region.backend, region.end);
    let mut order = Order::default();
    let mut buffer = [0; MAX_MESSAGE];
    region.attack(input, &COMMAND_RESPONSE, |moment| {
        moment.check_link(exchange.poll());
        let _ = exchange.try_send(&[moment.now as u8; 200]);
        match exchange.recv(&mut buffer) {
            Ok(Some(message)) if moment.honest => order.came(message),
            Ok(_) => {}
            Err(RecvError::Violated(violation)) => assert!(!moment.honest, "{violation:?}"),
            Err(_) => order.lost(),
        }
        let _ = exchange.peer_receives();
    });
    exchange.close();
    assert_eq!(exchange.poll(), LinkState::Closed);
}
