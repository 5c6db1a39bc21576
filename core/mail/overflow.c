/* SPDX-License-Identifier: Apache-2.0 */
/*
 * overflow.c - unlinked, encrypted files for what of large messages does not stay in memory.
 *
 * Called by message.c. AES-256-GCM in chunks of 64 KiB, each with its tag behind it; the nonce is
 * the chunk's number, and the key is made for one file and wiped with it, so no nonce is used twice
 * and no chunk fits another place. Must never write a byte in clear, nor give the file a name that
 * stays.
 */
#include <core/mail/message.h>
#include <core/mail/overflow.h>
#include <errno.h>
#include <fcntl.h>
#include <openssl/evp.h>
#include <openssl/rand.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/statvfs.h>
#include <sys/uio.h>
#include <unistd.h>

#define CHUNK       (64u * 1024)
#define TAG         16u
#define STORED      (CHUNK + TAG)
#define KEY         32
#define NONCE       12
#define WRITE_MOST  8u /* chunks of one system call */
#define HEADER_MOST (1024u * 1024)

/* Of the process: set once, but for the limits. */
static struct {
	int folder; /* 1 + descriptor; 0: not configured */
	uint64_t reserve;
	size_t header_most;
} settings = { .header_most = HEADER_MOST };

struct mail_overflow {
	uint32_t references; /* atomic */
	int fd;              /* -1: nothing was written yet */
	bool stays, given_up, eightbit;
	size_t chunks;              /* in the file */
	struct mail_bytes *pending; /* behind them */
	unsigned char key[KEY];
};

/* ---- settings -------------------------------------------------------------------------------- */

int
mail_overflow_configure(const char *folder, struct pn_error *err)
{
	int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0)
		return pn_error_set(
		    err, -errno, "%s: cannot open this folder: %s", folder, strerror(errno));
	__atomic_store_n(&settings.folder, fd + 1, __ATOMIC_RELEASE);
	return 0;
}

void
mail_overflow_limits(uint64_t reserve, size_t header_most)
{
	__atomic_store_n(&settings.reserve, reserve, __ATOMIC_RELAXED);
	__atomic_store_n(&settings.header_most, header_most, __ATOMIC_RELAXED);
}

bool
mail_overflow_is_configured(void)
{
	return __atomic_load_n(&settings.folder, __ATOMIC_ACQUIRE) > 0;
}

size_t
mail_overflow_header_most(void)
{
	return __atomic_load_n(&settings.header_most, __ATOMIC_RELAXED);
}

/* ---- life ------------------------------------------------------------------------------------ */

int
mail_overflow_new(bool stays, struct mail_overflow **ret)
{
	struct mail_overflow *overflow = calloc(1, sizeof(*overflow));
	int r = overflow ? mail_bytes_new(0, &overflow->pending) : -ENOMEM;

	if (r == 0 && RAND_priv_bytes(overflow->key, KEY) != 1) {
		mail_bytes_release(&overflow->pending);
		r = -EIO;
	}
	if (r < 0) {
		free(overflow);
		return r;
	}
	overflow->references = 1;
	overflow->fd = -1;
	overflow->stays = stays;
	*ret = overflow;
	return 0;
}

struct mail_overflow *
mail_overflow_hold(struct mail_overflow *overflow)
{
	__atomic_fetch_add(&overflow->references, 1, __ATOMIC_RELAXED);
	return overflow;
}

void
mail_overflow_release(struct mail_overflow **overflow)
{
	struct mail_overflow *old = *overflow;

	*overflow = NULL;
	if (!old || __atomic_sub_fetch(&old->references, 1, __ATOMIC_ACQ_REL) > 0)
		return;
	mail_bytes_release(&old->pending);
	OPENSSL_cleanse(old->key, KEY);
	if (old->fd >= 0)
		close(old->fd);
	free(old);
}

/* ---- the file -------------------------------------------------------------------------------- */

/* Where the file system knows no files without a name, it has one for a moment, and no content. */
static int
open_named(int folder)
{
	char name[48];
	uint64_t number;
	int fd;

	if (RAND_bytes((unsigned char *)&number, sizeof(number)) != 1)
		return -EIO;
	snprintf(name, sizeof(name), "%016llx.overflow", (unsigned long long)number);
	fd = openat(folder, name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd < 0)
		return -errno;
	if (unlinkat(folder, name, 0) == 0)
		return fd;
	close(fd);
	return -EIO;
}

static int
open_file(struct mail_overflow *overflow)
{
	int folder = __atomic_load_n(&settings.folder, __ATOMIC_ACQUIRE) - 1;

	if (overflow->fd >= 0)
		return 0;
	overflow->fd = openat(folder, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	if (overflow->fd >= 0)
		return 0;
	if (errno != EOPNOTSUPP && errno != EISDIR && errno != ENOENT)
		return -errno;
	overflow->fd = open_named(folder);
	return overflow->fd < 0 ? overflow->fd : 0;
}

static int
check_reserve(const struct mail_overflow *overflow, size_t len)
{
	uint64_t reserve = __atomic_load_n(&settings.reserve, __ATOMIC_RELAXED);
	struct statvfs st;

	if (overflow->stays || fstatvfs(overflow->fd, &st) < 0)
		return 0;
	return (uint64_t)st.f_bavail * st.f_frsize < reserve + len ? -ENOSPC : 0;
}

static void
make_nonce(size_t number, unsigned char ret[NONCE])
{
	memset(ret, 0, NONCE);
	for (unsigned i = 0; i < 8; i++)
		ret[i] = (unsigned char)((uint64_t)number >> (8 * i));
}

static bool
encrypt(EVP_CIPHER_CTX *ctx, const struct mail_overflow *overflow, size_t number, const char *from,
    char *to)
{
	unsigned char nonce[NONCE], *out = (unsigned char *)to;
	int len;

	make_nonce(number, nonce);
	return EVP_EncryptInit_ex(ctx, EVP_aes_256_gcm(), NULL, overflow->key, nonce) == 1 &&
	       EVP_EncryptUpdate(ctx, out, &len, (const unsigned char *)from, CHUNK) == 1 &&
	       EVP_EncryptFinal_ex(ctx, out + CHUNK, &len) == 1 &&
	       EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_GCM_GET_TAG, TAG, to + CHUNK) == 1;
}

static bool
decrypt(
    EVP_CIPHER_CTX *ctx, const struct mail_overflow *overflow, size_t number, char *from, char *to)
{
	unsigned char nonce[NONCE], *out = (unsigned char *)to;
	int len;

	make_nonce(number, nonce);
	return EVP_DecryptInit_ex(ctx, EVP_aes_256_gcm(), NULL, overflow->key, nonce) == 1 &&
	       EVP_DecryptUpdate(ctx, out, &len, (const unsigned char *)from, CHUNK) == 1 &&
	       EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_GCM_SET_TAG, TAG, from + CHUNK) == 1 &&
	       EVP_DecryptFinal_ex(ctx, out + CHUNK, &len) == 1;
}

static int
write_all(int fd, const char *bytes, size_t len, uint64_t offset)
{
	while (len > 0) {
		struct iovec part = { (void *)(uintptr_t)bytes, len };
		ssize_t n = pwritev(fd, &part, 1, (off_t)offset);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n < 0 && (errno == ENOSPC || errno == EDQUOT) ? -ENOSPC : -EIO;
		bytes += n;
		len -= (size_t)n;
		offset += (uint64_t)n;
	}
	return 0;
}

/* Some chunks from the front of what is pending. */
static int
write_some(struct mail_overflow *overflow, EVP_CIPHER_CTX *ctx, char *room, size_t done)
{
	size_t count = (overflow->pending->len - done) / CHUNK;
	int r;

	if (count > WRITE_MOST)
		count = WRITE_MOST;
	for (size_t i = 0; i < count; i++)
		if (!encrypt(ctx, overflow, overflow->chunks + i,
			overflow->pending->data + done + i * CHUNK, room + i * STORED))
			return -EIO;
	r = check_reserve(overflow, count * STORED);
	if (r == 0)
		r = write_all(
		    overflow->fd, room, count * STORED, (uint64_t)overflow->chunks * STORED);
	if (r < 0)
		return r;
	overflow->chunks += count;
	return (int)count;
}

/* No chunk is ever encrypted twice: what failed is given up, or stays in memory. */
static int
write_chunks(struct mail_overflow *overflow)
{
	struct mail_bytes *pending = overflow->pending;
	EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
	char *room = malloc(WRITE_MOST * STORED);
	size_t done = 0;
	int r = ctx && room ? open_file(overflow) : -ENOMEM;

	while (r >= 0 && pending->len - done >= CHUNK) {
		r = write_some(overflow, ctx, room, done);
		if (r > 0)
			done += (size_t)r * CHUNK;
	}
	if (done > 0) {
		memmove(pending->data, pending->data + done, pending->len - done);
		pending->len -= done;
	}
	EVP_CIPHER_CTX_free(ctx);
	free(room);
	return r < 0 ? r : 0;
}

int
mail_overflow_write(struct mail_overflow *overflow)
{
	int r;

	if (overflow->pending->len < CHUNK || overflow->given_up)
		return overflow->given_up && !overflow->stays ? -EIO : 0;
	r = write_chunks(overflow);
	if (r == 0)
		return 0;
	overflow->given_up = true;
	return overflow->stays ? 0 : r;
}

/* ---- bytes ----------------------------------------------------------------------------------- */

int
mail_overflow_add(struct mail_overflow *overflow, struct pn_slice bytes)
{
	overflow->eightbit = overflow->eightbit || mail_any_eightbit(bytes);
	return mail_bytes_append(overflow->pending, bytes.data, bytes.len, SIZE_MAX);
}

size_t
mail_overflow_pending(const struct mail_overflow *overflow)
{
	return overflow->given_up ? 0 : overflow->pending->len;
}

void
mail_overflow_trim(struct mail_overflow *overflow)
{
	mail_bytes_trim(overflow->pending);
}

size_t
mail_overflow_len(const struct mail_overflow *overflow)
{
	return overflow->chunks * CHUNK + overflow->pending->len;
}

bool
mail_overflow_has_eightbit(const struct mail_overflow *overflow)
{
	return overflow->eightbit;
}

static int
read_chunk(const struct mail_overflow *overflow, EVP_CIPHER_CTX *ctx, size_t number, char *stored,
    char *to)
{
	size_t done = 0;

	while (done < STORED) {
		ssize_t n = pread(overflow->fd, stored + done, STORED - done,
		    (off_t)((uint64_t)number * STORED + done));

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return -EIO;
		done += (size_t)n;
	}
	return decrypt(ctx, overflow, number, stored, to) ? 0 : -EIO;
}

/* Whole chunks go where they are wanted, the others through `room`. */
static int
read_file(const struct mail_overflow *overflow, size_t offset, char *to, size_t len)
{
	EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
	char *room = malloc(STORED + CHUNK);
	int r = ctx && room ? 0 : -ENOMEM;

	while (r == 0 && len > 0) {
		size_t within = offset % CHUNK, part = CHUNK - within;
		bool whole = within == 0 && len >= CHUNK;

		if (part > len)
			part = len;
		r = read_chunk(overflow, ctx, offset / CHUNK, room, whole ? to : room + STORED);
		if (r == 0 && !whole)
			memcpy(to, room + STORED + within, part);
		offset += part;
		to += part;
		len -= part;
	}
	EVP_CIPHER_CTX_free(ctx);
	free(room);
	return r;
}

int
mail_overflow_read(const struct mail_overflow *overflow, size_t offset, char *to, size_t len)
{
	size_t in_file = overflow->chunks * CHUNK, part = 0;
	int r = 0;

	if (offset < in_file) {
		part = in_file - offset < len ? in_file - offset : len;
		r = read_file(overflow, offset, to, part);
	}
	if (r == 0 && len > part)
		memcpy(to + part, overflow->pending->data + (offset + part - in_file), len - part);
	return r;
}
