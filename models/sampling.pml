/* A sampling channel whose writer dies at any store, and whose place another takes.
 *
 * `Writer::write` and `Reader::try_read` (src/channel/sampling/{writer,reader}.rs), with the words of `Mailbox::attach` and `Link::poll` or
 * `Watch::poll` that matter to them. Every load and every store is a step; a value has two words.
 *
 * On x86-TSO stores appear in order and loads are made in order, so memory is sequentially consistent in this model: the writer
 * loads nothing, and the reader stores nothing. What the fences forbid the compiler, or another CPU, are the variants below.
 *
 * Asserted: what is returned is the value of its number, whole, and none before one returned already; an honest writer is never
 * judged in violation; Busy means that the writer began three values during the try; and a value that a dead writer left can be read.
 *
 * Without one of the rules an assertion fails: -DNO_STARTED_LOOK, -DSTARTED_TOO_EARLY (no acquire fence), -DSTARTED_TOO_LATE (no release fence),
 * -DLATEST_TOO_EARLY (no release store), -DONE_SLOT_LESS, -DNO_KEY_LOOK, -DCOUNTER_LOST.
 */

#ifndef VALUES
#define VALUES 6
#endif
#ifndef LIVES
#define LIVES 3
#endif

/* A number and the key under which it counts, in one word. */
#define KEYED(key, number) ((key) * 8 + (number))
#define KEY(word) ((word) / 8)
#define NUMBER(word) ((word) % 8)

/* Slots that a value is safe from being overwritten for. */
#ifdef ONE_SLOT_LESS
#define SAFE 5
#else
#define SAFE 4
#endif

/* The writer's section: EPOCH, which while withdrawn keeps what to count on from; LATEST, STARTED; and the slots. */
byte epoch;
byte last;
byte latest;
byte started;
byte header[4];
byte first_word[4];
byte second_word[4];

/* Ghosts: lives begun, in which of them the epoch was published, whether the writer lives, values begun during the reader's try. */
byte lives;
byte epoch_life;
bool alive;
byte begun;

/* In the step of a store: the writer may die after it. */
inline may_die() {
    if
    :: lives < LIVES -> goto dead
    :: true
    fi
}

active proctype writer() {
    byte key, count;

attach:
    /* Mailbox::attach */
    atomic {
        key = (epoch != 0 -> epoch : last) + 1;
        lives++;
        alive = true
    };
    atomic {
#ifndef COUNTER_LOST
        last = key - 1;
#endif
        epoch = 0;
        may_die()
    };
    atomic { latest = 0; may_die() };
    atomic { started = 0; may_die() };
    atomic { epoch = key; epoch_life = lives; may_die() };

    do
    :: count < VALUES ->
        /* memory.publish(STARTED), fence(Release) */
        count++;
#ifdef LATEST_TOO_EARLY
        latest = KEYED(key, count);
#endif
#ifndef STARTED_TOO_LATE
        atomic { started = KEYED(key, count); begun = (begun < 3 -> begun + 1 : 3); may_die() };
#endif
        /* memory.copy_in(slot + HEADER) */
        atomic { first_word[count % 4] = KEYED(lives, count); may_die() };
        atomic { second_word[count % 4] = KEYED(lives, count); may_die() };
#ifdef STARTED_TOO_LATE
        atomic { started = KEYED(key, count); begun = (begun < 3 -> begun + 1 : 3); may_die() };
#endif
        /* memory.store(slot, header) */
        atomic { header[count % 4] = KEYED(key, count); may_die() };
        /* memory.publish(LATEST) */
#ifndef LATEST_TOO_EARLY
        atomic { latest = KEYED(key, count); may_die() }
#endif
    :: count == VALUES -> break
    od;
    /* It lives on and writes no more, or dies. */
    if
    :: true -> goto end
    :: atomic { lives < LIVES -> goto dead }
    fi;
dead:
    atomic { alive = false; key = 0; count = 0; goto attach };
end:
    alive = false
}

active proctype reader() {
    /* The writer's key as the link knows it, and its life; the number returned last under it. */
    byte key, life, seen;
    byte word, stamp, one, two, after, lives_before;
    bool was_dead;

end:
    do
    /* Link::poll finds a new epoch. */
    :: atomic { epoch != 0 && epoch != key -> key = epoch; life = epoch_life; seen = 0 }
    :: key != 0 ->
        /* load(LATEST) */
        atomic {
            was_dead = !alive;
            lives_before = lives;
            begun = 0;
            word = latest
        };
        if
        :: atomic { KEY(word) != key -> word = 0 }
        :: atomic { KEY(word) == key -> skip };
#ifdef STARTED_TOO_EARLY
            after = started;
#endif
            /* load(slot) */
            stamp = header[NUMBER(word) % 4];
            /* copy_out, then fence(Acquire) */
            one = first_word[NUMBER(word) % 4];
            two = second_word[NUMBER(word) % 4];
            /* load(STARTED) */
#ifdef NO_STARTED_LOOK
            after = word;
#endif
#if !defined(STARTED_TOO_EARLY) && !defined(NO_STARTED_LOOK)
            after = started;
#endif
            atomic {
                if
                /* Empty */
#ifdef NO_KEY_LOOK
                :: false
#else
                :: KEY(after) != key ->
                    assert(!was_dead || alive || lives != lives_before)
#endif
                :: else ->
                    if
                    /* Busy */
                    :: NUMBER(after) >= NUMBER(word) + SAFE ->
                        assert(begun == 3)
                    :: else ->
                        /* check() */
                        assert(NUMBER(after) >= NUMBER(word));
                        assert(NUMBER(word) >= seen);
                        assert(stamp == word);
                        /* found() */
                        assert(one == KEYED(life, NUMBER(word)) && two == one);
                        seen = NUMBER(word)
                    fi
                fi;
                stamp = 0; one = 0; two = 0; after = 0; word = 0; was_dead = false; lives_before = 0; begun = 0
            }
        fi
    od
}
