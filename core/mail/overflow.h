/* SPDX-License-Identifier: Apache-2.0 */
/*
 * overflow.h - what of a large message does not stay in memory: an unlinked file beside the spool,
 * encrypted with a key that is nowhere but in this process.
 *
 * message.c alone makes and fills these. The file has no name, so a crash leaves nothing behind,
 * and without the key it is noise. What was written is immutable and is read by any thread.
 */
#ifndef CORE_MAIL_OVERFLOW_H
#define CORE_MAIL_OVERFLOW_H

#include <postern/base.h>

/*
 * Where the files go, and how many bytes their disk keeps free. Once, before there are messages;
 * a process that never says it keeps all of a message in memory.
 */
int mail_overflow_configure(const char *folder, struct pn_error *err);
/* At any time, from any thread: the disk's reserve, and how large a header may be. */
void mail_overflow_limits(uint64_t reserve, size_t header_most);
bool mail_overflow_is_configured(void);
size_t mail_overflow_header_most(void);

struct mail_overflow;

/* `stays`: what the disk has no room for stays in memory, and its reserve is no concern. */
int mail_overflow_new(bool stays, struct mail_overflow **ret);
struct mail_overflow *mail_overflow_hold(struct mail_overflow *overflow);
void mail_overflow_release(struct mail_overflow **overflow);

/* Owner only, as long as it is the only one: bytes that are not in the file yet. -ENOMEM. */
int mail_overflow_add(struct mail_overflow *overflow, struct pn_slice bytes);
/*
 * Owner only: writes what is there in whole chunks. Blocks. -ENOSPC (also: the reserve), -EIO,
 * -ENOMEM, or why there is no file; then the message cannot be had.
 */
int mail_overflow_write(struct mail_overflow *overflow);
/* Owner only: how much waits to be written. */
size_t mail_overflow_pending(const struct mail_overflow *overflow);
/* Owner only: gives spare memory back. */
void mail_overflow_trim(struct mail_overflow *overflow);

size_t mail_overflow_len(const struct mail_overflow *overflow);
bool mail_overflow_has_eightbit(const struct mail_overflow *overflow);
/* `len` bytes from `offset` on, which are there. Blocks. -EIO: also where they were changed. */
int mail_overflow_read(const struct mail_overflow *overflow, size_t offset, char *to, size_t len);

#endif
