/* SPDX-License-Identifier: Apache-2.0 */
/*
 * crash.c - the relay's side of crash attribution: slots, fingerprints, signals.
 *
 * Called by hook.c around each hook. The signal handler must do nothing but mark this thread's
 * slot, write the log lines that wait, and let the signal take its course. Threads keep their slot
 * until they end.
 */
#include <core/base/log.h>
#include <core/policy/crash.h>
#include <core/policy/stage.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#define HEAD_MOST  4096 /* bytes of a message that go into its fingerprint */
#define STACK_SIZE (32u * 1024)

static const int deadly[] = { SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT, SIGTRAP, SIGSYS };
#define DEADLY (sizeof(deadly) / sizeof(deadly[0]))

/* One process has one of these; all but `memory` is fixed before threads begin. */
static struct {
	struct crash_memory *memory; /* NULL: there is no master */
	struct sigaction before[DEADLY];
	pthread_key_t key; /* whose destructor gives a thread's slot back */
} crash;

/* What a thread has; `tried` where all slots were taken. */
struct mine {
	struct crash_slot *slot;
	void *stack;
	bool tried;
};
static _Thread_local struct mine mine;

/* ---- signals --------------------------------------------------------------------------------- */

/*
 * What the process had before (a sanitizer's, or death) follows: a fault comes again as soon as we
 * return, what somebody raised is raised again.
 */
static void
on_signal(int signal, siginfo_t *info, void *context)
{
	struct crash_slot *slot = mine.slot;

	if (slot && atomic_load(&slot->inside))
		atomic_store(&slot->signal, signal);
	log_flush_all();
	for (size_t i = 0; i < DEADLY; i++)
		if (deadly[i] == signal)
			sigaction(signal, &crash.before[i], NULL);
	if (info->si_code <= 0)
		syscall(SYS_tgkill, getpid(), (pid_t)syscall(SYS_gettid), signal);
}

/* On the thread that calls exit(): no hook may. */
static void
on_exit_inside(void)
{
	if (mine.slot && atomic_load(&mine.slot->inside))
		atomic_store(&mine.slot->signal, CRASH_EXITS);
	log_flush_all();
}

static void
catch_signals(void)
{
	struct sigaction action = { .sa_sigaction = on_signal,
		.sa_flags = SA_SIGINFO | SA_ONSTACK };

	sigemptyset(&action.sa_mask);
	for (size_t i = 0; i < DEADLY; i++)
		sigaction(deadly[i], &action, &crash.before[i]);
}

/* A stack that has run over is no place for a handler. */
static void *
give_stack(void)
{
	stack_t stack = { .ss_size = STACK_SIZE }, old;

	if (sigaltstack(NULL, &old) < 0 || !(old.ss_flags & SS_DISABLE))
		return NULL; /* a sanitizer's */
	stack.ss_sp = malloc(STACK_SIZE);
	if (stack.ss_sp && sigaltstack(&stack, NULL) == 0)
		return stack.ss_sp;
	free(stack.ss_sp);
	return NULL;
}

static void
take_stack(void *memory)
{
	const stack_t none = { .ss_flags = SS_DISABLE };

	if (!memory)
		return;
	sigaltstack(&none, NULL);
	free(memory);
}

/* ---- slots ----------------------------------------------------------------------------------- */

/* The thread ends. */
static void
give_back(void *arg)
{
	struct mine *old = arg;
	struct crash_slot *slot = old->slot;

	old->slot = NULL;
	take_stack(old->stack);
	old->stack = NULL;
	atomic_store(&slot->pid, 0);
}

static void
take_slot(void)
{
	int32_t pid = (int32_t)getpid();

	mine.tried = true;
	for (size_t i = 0; i < CRASH_SLOTS && !mine.slot; i++) {
		struct crash_slot *slot = &crash.memory->slots[i];
		int32_t none = 0;

		if (!atomic_compare_exchange_strong(&slot->pid, &none, pid))
			continue;
		atomic_store(&slot->inside, 0);
		atomic_store(&slot->signal, 0);
		atomic_store(&slot->tid, (int32_t)syscall(SYS_gettid));
		mine.slot = slot;
	}
	if (!mine.slot)
		return;
	mine.stack = give_stack();
	pthread_setspecific(crash.key, &mine);
}

static void
copy_name(char ret[CRASH_NAME], const char *name)
{
	size_t len = strnlen(name, CRASH_NAME - 1);

	memcpy(ret, name, len);
	ret[len] = '\0';
}

static bool
is_of_message(const struct pn_txn *txn, int32_t stage)
{
	return !stage_is(stage, STAGE_IN_SESSION) && !stage_is(stage, STAGE_ALONE) &&
	       (txn->original || txn->view || stage_is(stage, STAGE_EVERY));
}

void
crash_enter(const struct chain_entry *entry, struct pn_txn *txn, int32_t stage)
{
	struct crash_culprit *culprit;

	if (!crash.memory)
		return;
	if (!mine.tried)
		take_slot();
	if (!mine.slot)
		return;
	culprit = &mine.slot->culprit;
	copy_name(culprit->entry, entry->config->id);
	copy_name(culprit->module, entry->module->name);
	memcpy(culprit->id, txn->id, sizeof(culprit->id));
	culprit->stage = stage;
	culprit->of_message = is_of_message(txn, stage);
	culprit->fingerprint = crash_fingerprint(txn, stage);
	atomic_store_explicit(&mine.slot->inside, 1, memory_order_release);
}

void
crash_leave(void)
{
	if (mine.slot)
		atomic_store_explicit(&mine.slot->inside, 0, memory_order_release);
}

const struct crash_culprit *
crash_blame(pid_t tid)
{
	int32_t pid = (int32_t)getpid();

	for (size_t i = 0; crash.memory && i < CRASH_SLOTS; i++) {
		struct crash_slot *slot = &crash.memory->slots[i];

		if (atomic_load(&slot->pid) != pid || atomic_load(&slot->tid) != (int32_t)tid ||
		    !atomic_load(&slot->inside))
			continue;
		atomic_store(&slot->signal, CRASH_HANGS);
		return &slot->culprit;
	}
	return NULL;
}

/* ---- fingerprints ---------------------------------------------------------------------------- */

/* Eight bytes a step; nobody gains by a collision but a 451 of his own. */
static uint64_t
hash(uint64_t sum, const char *data, size_t len)
{
	uint64_t word;

	for (; len >= sizeof(word); data += sizeof(word), len -= sizeof(word)) {
		memcpy(&word, data, sizeof(word));
		sum = (sum ^ word) * 0x9e3779b97f4a7c15u;
		sum ^= sum >> 32;
	}
	word = len;
	if (len > 0)
		memcpy((char *)&word + 1, data, len);
	sum = (sum ^ word) * 0x9e3779b97f4a7c15u;
	return sum ^ sum >> 29;
}

static uint64_t
hash_text(uint64_t sum, const char *text)
{
	return text ? hash(sum, text, strlen(text)) : hash(sum, "", 0);
}

static uint64_t
hash_message(const struct pn_txn *txn)
{
	const struct mail_bytes *bytes = txn->original;
	uint64_t sum = hash_text(mail_bytes_size(bytes), txn->envelope.original_sender);

	return hash(sum, bytes->data, bytes->len < HEAD_MOST ? bytes->len : HEAD_MOST);
}

uint64_t
crash_fingerprint(struct pn_txn *txn, int32_t stage)
{
	if (stage_is(stage, STAGE_IN_SESSION))
		return hash_text(hash_text(1, txn->facts.client_address), txn->facts.helo);
	if (txn->original) {
		if (txn->fingerprint == 0)
			txn->fingerprint = hash_message(txn);
		return txn->fingerprint;
	}
	/* Accepted already: the bytes may not be in memory, but there is an id that stays. */
	if (txn->view || stage_is(stage, STAGE_EVERY))
		return hash_text(2, txn->id);
	return hash_text(hash_text(3, txn->envelope.original_sender),
	    txn->recipient >= 0 ? txn->envelope.recipients[txn->recipient].original : NULL);
}

/* ---- what is known --------------------------------------------------------------------------- */

static bool
is_about(const struct crash_known *known, const struct chain_entry *entry)
{
	return atomic_load_explicit(&known->used, memory_order_acquire) &&
	       strncmp(known->entry, entry->config->id, CRASH_NAME) == 0;
}

enum crash_rule
crash_rule(const struct chain_entry *entry, struct pn_txn *txn, int32_t stage)
{
	uint32_t count = crash.memory ? atomic_load_explicit(
					    &crash.memory->known_count, memory_order_acquire)
				      : 0;

	for (uint32_t i = 0; i < count && i < CRASH_KNOWN_MOST; i++) {
		const struct crash_known *known = &crash.memory->known[i];

		if (!is_about(known, entry))
			continue;
		if (known->stage == PN_STAGE_END)
			return CRASH_DISABLED;
		if (known->stage == stage && known->fingerprint == crash_fingerprint(txn, stage))
			return CRASH_REFUSE;
	}
	return CRASH_RUN;
}

void
crash_each_disabled(void (*each)(void *arg, const char *entry), void *arg)
{
	for (uint32_t i = 0; crash.memory && i < CRASH_KNOWN_MOST; i++) {
		const struct crash_known *known = &crash.memory->known[i];

		if (atomic_load_explicit(&known->used, memory_order_acquire) &&
		    known->stage == PN_STAGE_END)
			each(arg, known->entry);
	}
}

/* ---- start ----------------------------------------------------------------------------------- */

int
crash_open(int fd, struct pn_error *err)
{
	void *memory = mmap(
	    NULL, sizeof(struct crash_memory), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

	close(fd);
	if (memory == MAP_FAILED)
		return pn_error_set(
		    err, -errno, "cannot share memory with the master: %s", strerror(errno));
	if (pthread_key_create(&crash.key, give_back) != 0 || atexit(on_exit_inside) != 0)
		return pn_error_set(err, -EAGAIN, "cannot prepare for crashes");
	crash.memory = memory;
	catch_signals();
	return 0;
}
