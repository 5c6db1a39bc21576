/* SPDX-License-Identifier: Apache-2.0 */
/*
 * crashes.c - reads the slots of relays that have ended, and keeps the table of who crashed on
 * what.
 *
 * Called by the master. What stands in the slots was written by a process that crashed: it is
 * copied and ended with a NUL before anything is done with it. The memory is sealed, so nobody can
 * cut it off under us.
 */
#include <core/base/log.h>
#include <core/master/channel.h>
#include <core/master/crashes.h>
#include <core/policy/stage.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

int
crashes_open(struct crashes *crashes, struct pn_error *err)
{
	void *memory = MAP_FAILED;

	crashes->fd = memfd_create("postern-crashes", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (crashes->fd >= 0 && ftruncate(crashes->fd, sizeof(struct crash_memory)) == 0 &&
	    fcntl(crashes->fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) == 0)
		memory = mmap(NULL, sizeof(struct crash_memory), PROT_READ | PROT_WRITE, MAP_SHARED,
		    crashes->fd, 0);
	if (memory == MAP_FAILED)
		return pn_error_set(
		    err, -errno, "cannot make memory to share: %s", strerror(errno));
	crashes->memory = memory;
	return 0;
}

void
crashes_close(struct crashes *crashes)
{
	if (crashes->memory)
		munmap(crashes->memory, sizeof(*crashes->memory));
	if (crashes->fd >= 0)
		close(crashes->fd);
	crashes->memory = NULL;
	crashes->fd = -1;
}

int
crashes_hand_over(const struct crashes *crashes, const struct child *child)
{
	return channel_send(child->fd, CHANNEL_CRASHES, pn_slice("", 0), &crashes->fd, 1);
}

/* ---- what relays are told -------------------------------------------------------------------- */

static void
tell(struct crashes *crashes, size_t row, const char *entry, int32_t stage, uint64_t fingerprint)
{
	struct crash_known *known = &crashes->memory->known[row];

	atomic_store(&known->used, 0);
	memcpy(known->entry, entry, CRASH_NAME);
	known->stage = stage;
	known->fingerprint = fingerprint;
	atomic_store(&known->used, 1);
	if (atomic_load(&crashes->memory->known_count) <= row)
		atomic_store(&crashes->memory->known_count, (uint32_t)row + 1);
}

/* ---- tables ---------------------------------------------------------------------------------- */

static bool
is_same(const struct crash_culprit *a, const struct crash_culprit *b)
{
	return a->stage == b->stage && a->fingerprint == b->fingerprint &&
	       strcmp(a->entry, b->entry) == 0;
}

/* Its row, or the one that is given up for it. */
static size_t
message_row(struct crashes *crashes, const struct crash_culprit *culprit)
{
	struct crashes_message *rows = crashes->messages;
	size_t oldest = 0;

	for (size_t i = 0; i < CRASHES_MESSAGES; i++) {
		if (rows[i].count > 0 && is_same(&rows[i].culprit, culprit))
			return i;
		if (rows[i].last_ms < rows[oldest].last_ms)
			oldest = i;
	}
	atomic_store(&crashes->memory->known[oldest].used, 0);
	rows[oldest] = (struct crashes_message){ .culprit = *culprit };
	return oldest;
}

static unsigned
count_message(struct crashes *crashes, const struct crash_culprit *culprit, int64_t now_ms)
{
	size_t row = message_row(crashes, culprit);
	struct crashes_message *message = &crashes->messages[row];

	message->last_ms = now_ms;
	message->count++;
	if (message->count >= CRASHES_TWICE)
		tell(crashes, row, culprit->entry, culprit->stage, culprit->fingerprint);
	return message->count;
}

static size_t
entry_row(struct crashes *crashes, const char *entry)
{
	struct crashes_entry *rows = crashes->entries;
	size_t oldest = 0;

	for (size_t i = 0; i < CRASHES_ENTRIES; i++) {
		if (strcmp(rows[i].entry, entry) == 0)
			return i;
		if (rows[i].at_ms[0] < rows[oldest].at_ms[0])
			oldest = i;
	}
	atomic_store(&crashes->memory->known[CRASHES_MESSAGES + oldest].used, 0);
	rows[oldest] = (struct crashes_entry){ 0 };
	memcpy(rows[oldest].entry, entry, CRASH_NAME);
	return oldest;
}

/* True: that was too much. */
static bool
count_entry(struct crashes *crashes, const char *name, int64_t now_ms)
{
	size_t row = entry_row(crashes, name);
	struct crashes_entry *entry = &crashes->entries[row];

	/* The newest first. */
	memmove(entry->at_ms + 1, entry->at_ms, (CRASHES_MANY - 1) * sizeof(entry->at_ms[0]));
	entry->at_ms[0] = now_ms;
	entry->count++;
	if (entry->count < CRASHES_MANY || now_ms - entry->at_ms[CRASHES_MANY - 1] > CRASHES_MS)
		return false;
	tell(crashes, CRASHES_MESSAGES + row, name, PN_STAGE_END, 0);
	return true;
}

void
crashes_forgive(struct crashes *crashes)
{
	for (size_t i = 0; i < CRASHES_ENTRIES; i++) {
		atomic_store(&crashes->memory->known[CRASHES_MESSAGES + i].used, 0);
		crashes->entries[i] = (struct crashes_entry){ 0 };
	}
	for (size_t i = 0; i < CRASHES_MESSAGES; i++) {
		if (crashes->messages[i].culprit.of_message)
			continue;
		atomic_store(&crashes->memory->known[i].used, 0);
		crashes->messages[i] = (struct crashes_message){ 0 };
	}
}

/* ---- a relay has ended ----------------------------------------------------------------------- */

static bool
read_culprit(const struct crash_slot *slot, struct crash_culprit *ret)
{
	*ret = slot->culprit;
	ret->entry[CRASH_NAME - 1] = ret->module[CRASH_NAME - 1] = '\0';
	ret->id[ITEM_ID_SIZE - 1] = '\0';
	return ret->stage > PN_STAGE_END && ret->stage < PN_STAGE_COUNT;
}

static void
log_crash(const struct crash_culprit *culprit, int signal, unsigned count)
{
	const char *how = signal == CRASH_HANGS   ? "none, it hangs"
			  : signal == CRASH_EXITS ? "none, it calls exit()"
						  : strsignal(signal);
	char fingerprint[24], times[16];

	snprintf(
	    fingerprint, sizeof(fingerprint), "%016llx", (unsigned long long)culprit->fingerprint);
	snprintf(times, sizeof(times), "%u", count);
	log_event(PN_LOG_ERROR, "crash", "entry", culprit->entry, "module", culprit->module,
	    "stage", stage_name(culprit->stage), "id", culprit->id[0] ? culprit->id : NULL,
	    "fingerprint", fingerprint, "signal", how, "times", times, "then",
	    count >= CRASHES_TWICE ? "refused for now" : NULL, NULL);
}

static void
note_entry(struct crashes *crashes, const struct crash_culprit *culprit, int64_t now_ms)
{
	if (count_entry(crashes, culprit->entry, now_ms))
		log_event(PN_LOG_ERROR, "entry-disabled", "entry", culprit->entry, "module",
		    culprit->module, "reason",
		    "it crashes too often; its on_fault speaks until the next reload", NULL);
}

static void
note_culprit(struct crashes *crashes, const struct crash_slot *slot, int signal, int64_t now_ms)
{
	struct crash_culprit culprit;

	if (!read_culprit(slot, &culprit))
		return;
	log_crash(&culprit, signal, count_message(crashes, &culprit, now_ms));
	note_entry(crashes, &culprit, now_ms);
}

/* ---- a relay was killed ---------------------------------------------------------------------- */

static bool
is_among(const struct crashes_suspects *suspects, const struct crash_culprit *culprit)
{
	for (size_t i = 0; i < suspects->count; i++)
		if (is_same(&suspects->items[i], culprit))
			return true;
	return false;
}

static bool
is_counted(const struct crashes_suspects *before, const struct crash_culprit *culprit)
{
	return culprit->of_message && is_among(before, culprit);
}

/* One death is one crash of an entry, however many of its messages were inside. */
static bool
is_entry_counted(const struct crashes *crashes, const struct crashes_suspects *before,
    const struct crash_culprit *culprit)
{
	const struct crashes_suspects *now = &crashes->suspects;

	for (size_t i = 0; i < now->count; i++)
		if (strcmp(now->items[i].entry, culprit->entry) == 0 &&
		    is_counted(before, &now->items[i]))
			return true;
	return false;
}

static void
log_suspect(const struct crash_culprit *culprit, bool again)
{
	char fingerprint[24];

	snprintf(
	    fingerprint, sizeof(fingerprint), "%016llx", (unsigned long long)culprit->fingerprint);
	log_event(again ? PN_LOG_ERROR : PN_LOG_NOTICE, "killed-inside", "entry", culprit->entry,
	    "module", culprit->module, "stage", stage_name(culprit->stage), "id",
	    culprit->id[0] ? culprit->id : NULL, "fingerprint", fingerprint, "then",
	    again ? "counted as a crash: it was inside at the kill before, too" : NULL, NULL);
}

/* The kill before was not counted when it happened; for the message it is now. */
static void
note_suspect(struct crashes *crashes, const struct crashes_suspects *before,
    const struct crash_culprit *culprit, int64_t now_ms)
{
	bool again = is_counted(before, culprit);

	log_suspect(culprit, again);
	if (!again)
		return;
	if (count_message(crashes, culprit, now_ms) < CRASHES_TWICE)
		count_message(crashes, culprit, now_ms);
	if (!is_entry_counted(crashes, before, culprit))
		note_entry(crashes, culprit, now_ms);
}

static void
note_kill(struct crashes *crashes, pid_t pid, int64_t now_ms)
{
	const struct crashes_suspects before = crashes->suspects;
	struct crashes_suspects *suspects = &crashes->suspects;

	suspects->count = 0;
	for (size_t i = 0; i < CRASH_SLOTS && suspects->count < CRASHES_SUSPECTS; i++) {
		const struct crash_slot *slot = &crashes->memory->slots[i];
		struct crash_culprit *culprit = &suspects->items[suspects->count];

		if (atomic_load(&slot->pid) != (int32_t)pid || !atomic_load(&slot->inside) ||
		    !read_culprit(slot, culprit) || is_among(suspects, culprit))
			continue;
		note_suspect(crashes, &before, culprit, now_ms);
		suspects->count++;
	}
}

/* ---- any end --------------------------------------------------------------------------------- */

/* True: one of its hooks did it. */
static bool
note_crash(struct crashes *crashes, pid_t pid, int64_t now_ms)
{
	bool found = false;

	for (size_t i = 0; i < CRASH_SLOTS; i++) {
		const struct crash_slot *slot = &crashes->memory->slots[i];
		int signal = atomic_load(&slot->signal);

		if (atomic_load(&slot->pid) != (int32_t)pid || signal == 0 ||
		    !atomic_load(&slot->inside))
			continue;
		note_culprit(crashes, slot, signal, now_ms);
		found = true;
	}
	return found;
}

void
crashes_note(struct crashes *crashes, pid_t pid, bool killed, int64_t now_ms)
{
	if (note_crash(crashes, pid, now_ms))
		crashes->suspects.count = 0;
	else if (killed)
		note_kill(crashes, pid, now_ms);
	for (size_t i = 0; i < CRASH_SLOTS; i++)
		if (atomic_load(&crashes->memory->slots[i].pid) == (int32_t)pid)
			atomic_store(&crashes->memory->slots[i].pid, 0);
}
