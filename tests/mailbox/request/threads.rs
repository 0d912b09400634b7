//! The two ends on threads of their own.

use super::*;

#[test]
fn two_threads_ask_and_answer_without_loss_or_confusion() {
    let (mut a, mut b, _) = pair();
    const REQUESTS_MADE: u64 = 20_000;
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let (mut link, mut channels) = a.attach(Attach::polled());
            let mut server = Server::<_, 4, 40>::new(channels.responder(0, 1, 1).unwrap()).unwrap();
            let mut done = 0;
            while done < REQUESTS_MADE {
                link.poll(0);
                let served = server.serve(3, 0, &mut [0; 40], |call, result| {
                    let number = u64::from_le_bytes(call.args[..8].try_into().unwrap());
                    assert!(call.args.chunks(8).all(|word| word == number.to_le_bytes()), "torn");
                    result.copy_from_slice(&[number * 3; 5].map(u64::to_le_bytes).concat());
                    Answer::Done(40)
                });
                match served {
                    Ok(served) => {
                        served.notice.ignore();
                        done += u64::from(served.handled);
                        if served.handled == 0 {
                            std::thread::yield_now();
                        }
                    }
                    Err(RequestError::NotUp) => std::thread::yield_now(),
                    Err(error) => panic!("{error}"),
                }
            }
        });
        let (mut link, mut channels) = b.attach(Attach::polled());
        let mut requester = channels.requester::<4>(0, 1, 1).unwrap();
        let mut open = std::collections::HashMap::new();
        let (mut started, mut answered) = (0u64, 0u64);
        let mut buffer = [0; 40];
        while answered < REQUESTS_MADE {
            link.poll(0);
            while started < REQUESTS_MADE {
                match requester.start(0, 1, &[started; 5].map(u64::to_le_bytes).concat(), 0) {
                    Ok((id, notice)) => {
                        notice.ignore();
                        open.insert(id, started);
                        started += 1;
                    }
                    Err(RequestError::TooManyOpen { .. } | RequestError::NotUp) => break,
                    Err(error) => panic!("{error}"),
                }
            }
            match requester.poll(0, &mut buffer) {
                Ok(Some(Polled::Ended(Completion { id, outcome }))) => {
                    assert_eq!(outcome, Ok(40));
                    let number = open.remove(&id).unwrap();
                    assert_eq!(buffer[..], [number * 3; 5].map(u64::to_le_bytes).concat());
                    answered += 1;
                }
                Ok(None) | Err(RequestError::NotUp) => std::thread::yield_now(),
                other => panic!("{other:?}"),
            }
        }
    });
}
