/* The handshake, with deaths at every step on both sides, and one channel over it.
 *
 * Two ends attach, poll, send, receive and close as `Mailbox::attach`, `Link::poll`, `Sender::try_send`, `Receiver::try_recv` and
 * `Link::close` do (src/channel/{mailbox,link,sender,receiver}.rs): every load and every store is a step of its own. After any
 * store an end may die and another attach in its place (dying after a load leaves the same memory as dying before it), and
 * a link may take the peer for absent, by a word that is wrong for a moment.
 *
 * Memory is sequentially consistent here. x86-TSO differs in one thing, that a load overtakes stores of the same CPU before it, and in
 * the handshake no end draws a conclusion from a load after a store of its own; no fence stands there.
 *
 * Asserted: an end comes up only with an attachment of the peer that answered this very attachment of its own; an honest
 * peer is never judged in violation; a message is received only by the attachment to which it was sent, and once; and both
 * ends are up after 3 rounds of polls in which neither dies, closes or mistakes a word.
 *
 * Without one of the rules an assertion fails: -DEPOCH_BEFORE_SEEN, -DECHO_STAYS, -DECHO_FIRST, -DNO_ECHO, -DNO_RENEWAL,
 * -DCOUNTER_LOST.
 */

#ifndef DEATHS_0
#define DEATHS_0 1
#endif
#ifndef DEATHS_1
#define DEATHS_1 1
#endif
#ifndef GLITCHES
#define GLITCHES 1
#endif
#ifndef CLOSES
#define CLOSES 1
#endif

#define FIRST 0
#define SECOND 1

/* What an end publishes in its section. The fields of a word are loaded and stored together. `by` and `to` are ghosts: which attachment stored
 * the word, and for which of the peer's. An end's attachments are numbered from 1 and never twice, unlike epochs. */
typedef Section {
    /* EPOCH: the epoch, or 0 and what to count on from. */
    byte epoch;
    byte last;
    byte epoch_by;
    /* SEEN */
    byte seen;
    byte seen_by;
    byte seen_to;
    /* STATE */
    bool closed
};
Section section[2];

/* The channel from First to Second: its sender's line, and the ring's first slot. A message says by which
 * attachment it is sent, and to which; each sends one in a session. */
byte ring;
byte ring_after;
byte header;
byte message_by;
byte message_to;

/* Ghosts. */
byte attachments[2];
bool up[2];
/* The rounds since the last disturbance, and in this round, who began to poll and who ended. */
byte rounds;
bool began[2];
bool polled[2];

/* What may still happen. */
byte deaths[2];
byte glitches = GLITCHES;
byte closes = CLOSES;

/* In the step of a store: the end may die after it. */
inline may_die() {
    if
    :: deaths[me] > 0 -> deaths[me]--; goto dead
    :: true
    fi
}

inline disturbed() {
    rounds = 0;
    began[0] = false; began[1] = false;
    polled[0] = false; polled[1] = false
}

/* Key::new: of this end's epoch and of the peer's, in the order First, Second. */
#define NEW_KEY (me == FIRST -> epoch * 16 + seen : seen * 16 + epoch)
#define PEER section[1 - me]
#define OURS section[me]

/* Mailbox::publish_epoch, and the loads before it */
inline publish_epoch() {
    /* memory.load(ours + EPOCH) */
    epoch = (OURS.epoch != 0 -> OURS.epoch : OURS.last);
    /* memory.load(theirs + SEEN); wire::next_epoch */
    atomic {
        epoch = (epoch + 1 == PEER.seen -> epoch + 2 : epoch + 1);
        assert(epoch < 16);
        attachments[me]++;
        id = attachments[me];
        first_id = (first_id == 0 -> id : first_id)
    };
#ifdef ECHO_FIRST
    atomic { OURS.seen = 0; may_die() };
#endif
    /* memory.publish(EPOCH, withdrawn) */
    atomic {
#ifdef COUNTER_LOST
        OURS.last = 0;
#else
        OURS.last = (OURS.epoch != 0 -> OURS.epoch : OURS.last);
#endif
        OURS.epoch = 0;
        OURS.epoch_by = 0;
        may_die()
    };
    /* memory.publish(SEEN, 0) */
#ifndef ECHO_STAYS
    atomic { OURS.seen = 0; OURS.seen_by = 0; OURS.seen_to = 0; may_die() };
#endif
    /* memory.publish(line + RING, 0), memory.publish(line + RING_AFTER, 0) */
    if
    :: me == FIRST ->
        atomic { ring = 0; may_die() };
        atomic { ring_after = 0; may_die() }
    :: else -> skip
    fi;
    /* memory.publish(STATE, ATTACHED) */
    atomic { OURS.closed = false; may_die() };
    /* memory.publish(EPOCH, epoch) */
    atomic {
        OURS.epoch = epoch;
        OURS.epoch_by = id;
        seen = 0; seen_by = 0; met = 0;
        disturbed();
        may_die()
    }
}

/* Link::come_up */
inline come_up() {
    assert(found_by == seen_by && found_to == id);
    is_up = true;
    met = seen;
    key = NEW_KEY;
    joined = false
}

/* Link::poll */
inline poll() {
    atomic { began[me] = true; skip };
#ifdef EPOCH_BEFORE_SEEN
    atomic { theirs = PEER.epoch; theirs_by = PEER.epoch_by };
#endif
    /* load(SEEN) */
    atomic { found = PEER.seen; found_by = PEER.seen_by; found_to = PEER.seen_to };
    /* load(EPOCH) */
#ifndef EPOCH_BEFORE_SEEN
    atomic { theirs = PEER.epoch; theirs_by = PEER.epoch_by };
#endif
    if
    :: atomic { glitches > 0 -> glitches--; theirs = 0; disturbed() }
    :: true
    fi;
    /* load(STATE) */
    atomic { is_closed = PEER.closed; now_up = false };
    if
    /* absent() */
    :: atomic { theirs == 0 -> seen = 0; left = false }
    /* newcomer() */
    :: atomic { theirs != 0 && theirs != seen -> seen = theirs; seen_by = theirs_by; left = false };
        atomic { OURS.seen = seen; OURS.seen_by = id; OURS.seen_to = seen_by; may_die() }
    /* CLOSED */
    :: atomic { theirs != 0 && theirs == seen && is_closed ->
            if
            :: found == epoch && met != seen -> come_up()
            :: else -> skip
            fi;
            left = true
        }
#ifndef NO_ECHO
    /* line.seen != self.epoch */
    :: atomic { theirs != 0 && theirs == seen && !is_closed && found != epoch -> assert(!is_up) }
#define ECHOED (found == epoch)
#else
#define ECHOED true
#endif
#ifndef NO_RENEWAL
    /* renew() */
    :: atomic { theirs != 0 && theirs == seen && !is_closed && ECHOED && !is_up && met == seen -> skip };
        publish_epoch()
#define NEW (met != seen)
#else
#define NEW true
#endif
    :: atomic { theirs != 0 && theirs == seen && !is_closed && ECHOED && (is_up || NEW) ->
            if
            :: !is_up -> come_up()
            :: else -> skip
            fi;
            now_up = true
        }
    fi;
    atomic {
        /* board.down() */
        is_up = now_up;
        up[me] = now_up;
        polled[me] = began[me];
        if
        :: polled[0] && polled[1] ->
            began[0] = false; began[1] = false;
            polled[0] = false; polled[1] = false;
            rounds = (rounds < 3 -> rounds + 1 : 3)
        :: else -> skip
        fi;
        assert(rounds < 3 || up[0] && up[1]);
        found = 0; found_by = 0; found_to = 0; theirs = 0; theirs_by = 0; is_closed = false; now_up = false
    }
}

/* Sender::try_publish */
inline send() {
    if
    :: !joined ->
        /* start_ring */
        atomic { ring = 0; may_die() };
        atomic { ring_after = 0; may_die() };
        atomic { header = 0; may_die() };
        atomic { ring_after = key; may_die() };
        atomic { ring = key; joined = true; may_die() };
        /* copy_in, then publish(slot, header) */
        atomic { message_by = id; message_to = seen_by; may_die() };
        atomic { header = key; may_die() }
    :: else -> skip
    fi
}

/* Receiver::try_take */
inline receive() {
    if
    /* look_for_ring */
    :: atomic { !joined -> joined = (ring == key); taken = false }
    :: joined && !taken ->
        /* load(slot) */
        atomic { found = (header == key); skip };
        if
        :: atomic { found -> found_by = message_by; found_to = message_to }
        :: atomic { !found -> skip }
        fi;
        /* load(RING_AFTER) */
        atomic {
            if
            :: ring_after != key -> joined = false
            :: ring_after == key && found ->
                assert(found_to >= first_id && found_to <= id);
                assert(found_by != taken_by || found_to != taken_to);
                taken_by = found_by;
                taken_to = found_to;
                taken = true
            :: else -> skip
            fi;
            found = 0; found_by = 0; found_to = 0
        }
    :: else -> skip
    fi
}

proctype one_end(bit me) {
    /* Of the link, and of the board that it shares with the half: the session's key, and whether the peer closed. */
    byte id, first_id, epoch, seen, seen_by, met, key;
    bool is_up, left;
    /* Of the half. */
    bool joined, taken;
    byte taken_by, taken_to;
    /* Of a call. */
    byte found, found_by, found_to, theirs, theirs_by;
    bool is_closed, now_up;

attach:
    publish_epoch();
    do
    :: poll();
        if
        :: is_up && me == FIRST -> send()
        /* What a peer that closed has left can still be received. */
        :: (is_up || left && key != 0) && me == SECOND -> receive()
        :: atomic { closes > 0 && is_up -> closes--; up[me] = false; disturbed() };
            /* Link::close */
            atomic {
                OURS.closed = true;
                if
                :: deaths[me] > 0 -> deaths[me]--
                :: else -> goto end
                fi
            };
            break
        :: true
        fi
    od;
dead:
    atomic {
        up[me] = false;
        disturbed();
        id = 0; first_id = 0; epoch = 0; seen = 0; seen_by = 0; met = 0; key = 0;
        is_up = false; left = false; joined = false; taken = false; taken_by = 0; taken_to = 0;
        found = 0; found_by = 0; found_to = 0; theirs = 0; theirs_by = 0; is_closed = false; now_up = false;
        goto attach
    };
end:
    false
}

init {
    atomic {
        deaths[0] = DEATHS_0;
        deaths[1] = DEATHS_1;
        run one_end(FIRST);
        run one_end(SECOND)
    }
}
