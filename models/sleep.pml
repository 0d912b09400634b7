/* Arm and look again, against publish and look at the wish: no wake-up is lost.
 *
 * What runs here is `Sender::notice` and `Receiver::recv` (src/channel/{sender,receiver,wish}.rs) on x86-TSO: each CPU's stores wait in
 * a buffer of their own, first in first out, and its loads overtake them. The receiver's wait has no bound, which the real one has:
 * a wake-up that is lost is a deadlock here, an "invalid end state" in Spin's words.
 *
 * Without one of the rules there is one: -DNO_SENDER_FENCE, -DNO_RECEIVER_FENCE, -DNO_SECOND_LOOK, -DCOUNT_AFTER_ARM.
 */

#define MESSAGES 4

/* Memory. The stamps of the slots' headers appear in order, so the last one that is visible says it all. */
byte stamp = 0;
byte wish = 0;

/* The stores that are not visible yet: of the sender, stamps; of the receiver, wishes. */
chan sender_buffer = [2] of { byte };
chan receiver_buffer = [2] of { byte };

/* The doorbell. Rings coalesce until the interrupt is delivered, and the handler counts. */
bit pending = 0;
byte count = 0;

active proctype sender_cpu() {
end:
    do
    :: atomic { sender_buffer ? stamp }
    od
}

active proctype receiver_cpu() {
end:
    do
    :: atomic { receiver_buffer ? wish }
    od
}

/* `Vector::fire` (src/interrupt/vector.rs). */
active proctype interrupt() {
end:
    do
    :: atomic { pending -> pending = 0; count++ }
    od
}

active proctype sender() {
    byte sent = 0;
    byte served = 0;
    byte found;

    do
    :: sent < MESSAGES ->
        /* try_publish: memory.publish(slot, header) */
        atomic { nfull(sender_buffer) -> sent++; sender_buffer ! sent };
        if
        /* A batch goes on: one notice for all. */
        :: sent < MESSAGES -> skip
        :: true ->
            /* Wish::serve: fence(SeqCst), then memory.load(theirs + WISH) */
#ifndef NO_SENDER_FENCE
            empty(sender_buffer);
#endif
            found = wish;
            if
            :: found != 0 && found <= sent && found != served ->
                served = found;
                /* Notice::ring */
                pending = 1
            :: else -> skip
            fi
        fi
    :: sent == MESSAGES -> break
    od
}

active proctype receiver() {
    byte consumed = 0;
    byte seen;

    do
    :: consumed == MESSAGES -> break
    :: consumed < MESSAGES ->
        if
        /* try_take: the next slot's header is there */
        :: atomic { stamp > consumed -> consumed++ }
        /* wait_and_take, after its looks in vain */
        :: atomic { stamp <= consumed ->
#ifndef COUNT_AFTER_ARM
            /* let seen = wait.count() */
            seen = count
#endif
            };
            /* Wish::make: memory.publish(ours + WISH), then fence(SeqCst) */
            atomic { nfull(receiver_buffer) -> receiver_buffer ! consumed + 1 };
#ifndef NO_RECEIVER_FENCE
            empty(receiver_buffer);
#endif
            if
#ifndef NO_SECOND_LOOK
            /* arm: the header is there after all */
            :: atomic { stamp > consumed -> skip }
            :: atomic { stamp <= consumed -> skip };
#else
            :: true ->
#endif
#ifdef COUNT_AFTER_ARM
                seen = count;
#endif
                /* wait.wait(seen) */
                count != seen
            fi
        fi
    od
}
