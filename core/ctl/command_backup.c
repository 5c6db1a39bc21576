/* SPDX-License-Identifier: Apache-2.0 */
/*
 * command_backup.c - posternctl backup: the database and the configuration in one file.
 *
 * The relay may run: the database is copied as it stood at one moment. Secrets and the files that
 * the configuration names are listed by path, and never copied.
 */
#include <core/base/clock.h>
#include <core/ctl/archive.h>
#include <core/ctl/backup.h>
#include <core/ctl/commands.h>
#include <core/queue/spool_copy.h>
#include <core/store/audit.h>
#include <errno.h>
#include <fcntl.h>
#include <glib.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

struct backup {
	struct ctl *ctl;
	const char *path;
	bool spool;
	struct progress progress;
	struct archive_writer *writer;
	char *folder;   /* of the YAML files */
	char *database; /* of the relay */
	char *copy;     /* beside `path`, as long as it takes */
	json_t *named;
	size_t files, segments;
	int r;
	struct pn_error *err;
};

/* ---- the database ---------------------------------------------------------------------------- */

static void
tell_copied(void *arg, int64_t done, int64_t of)
{
	struct backup *backup = arg;

	if (progress_is_due(&backup->progress))
		progress_say(&backup->progress, "database: %lld of %lld pages", (long long)done,
		    (long long)of);
}

static int
add_database(struct backup *backup, struct pn_error *err)
{
	struct db *db = NULL;
	int fd, r;

	if (access(backup->database, F_OK) < 0)
		return pn_error_set(err, -errno, "%s: %s; was there ever a relay here?",
		    backup->database, g_strerror(errno));
	backup->copy = g_strdup_printf("%s.db.XXXXXX", backup->path);
	fd = g_mkstemp_full(backup->copy, O_RDWR | O_CLOEXEC, 0600);
	if (fd < 0) {
		r = pn_error_set(err, -errno, "%s: %s", backup->copy, g_strerror(errno));
		g_clear_pointer(&backup->copy, g_free);
		return r;
	}
	close(fd);
	r = db_open(backup->database, true, &db, err);
	if (r == 0)
		r = db_copy(db, backup->copy, tell_copied, backup, err);
	db_close(&db);
	return r == 0 ? archive_add(
			    backup->writer, BACKUP_DATABASE, backup->copy, &backup->progress, err)
		      : r;
}

/* ---- the spool ------------------------------------------------------------------------------- */

static int
add_segment(void *arg, uint64_t number, struct pn_error *err)
{
	struct backup *backup = arg;
	char *name = g_strdup_printf(BACKUP_SPOOL "%08zx.seg", ++backup->segments);
	int r = archive_add(backup->writer, name, backup->copy, &backup->progress, err);

	g_free(name);
	return r;
}

static int
add_spool(struct backup *backup, struct pn_error *err)
{
	char *folder = g_strdup_printf(
	    "%s/spool", generation_core(backup->ctl->generation)->relay.state_directory);
	int r = spool_copy(folder, backup->copy, add_segment, backup, err);

	g_free(folder);
	return r;
}

/* ---- the configuration ----------------------------------------------------------------------- */

/* The YAML files of the folder are copied, all else that they led to is named. */
static void
take_file(void *arg, const char *read_as)
{
	struct backup *backup = arg;
	char *path = g_canonicalize_filename(read_as, NULL), *folder = g_path_get_dirname(path),
	     *base = g_path_get_basename(path), *name;

	if (strcmp(folder, backup->folder) == 0 && g_str_has_suffix(base, ".yaml")) {
		name = g_strdup_printf(BACKUP_CONFIG "%s", base);
		if (backup->r == 0)
			backup->r = archive_add(
			    backup->writer, name, path, &backup->progress, backup->err);
		backup->files++;
		g_free(name);
	} else {
		json_array_append_new(backup->named, json_string(path));
	}
	g_free(path);
	g_free(folder);
	g_free(base);
}

static json_t *
facts(const struct backup *backup)
{
	const struct config_relay *relay = &generation_core(backup->ctl->generation)->relay;
	char date[CLOCK_DATE_SIZE];

	clock_log_date(clock_wall_us(), date);
	return json_pack("{s:s, s:s, s:s, s:s, s:s?, s:s, s:O}", "version", POSTERN_VERSION,
	    "taken", date, "by", backup->ctl->who, "state_directory", relay->state_directory,
	    "user", relay->user, "configuration", backup->folder, "named", backup->named);
}

/* ---- the command ----------------------------------------------------------------------------- */

/* The backup is there; it is said aloud where that cannot be noted. */
static void
note(const struct backup *backup)
{
	struct audit_row row = { .who = backup->ctl->who,
		.action = "backup",
		.scope = "relay",
		.object = backup->path,
		.after = backup->spool ? "database, configuration and spool"
				       : "database and configuration" };
	struct pn_error err = { 0 };
	struct db *db = NULL;

	if (db_open(backup->database, false, &db, &err) < 0 || audit_add(db, &row, &err) < 0)
		fprintf(stderr, "posternctl: not written to the audit trail: %s\n", err.text);
	db_close(&db);
}

static int
write_backup(struct backup *backup, struct pn_error *err)
{
	int r = archive_create(backup->path, &backup->writer, err);

	if (r == 0)
		r = add_database(backup, err);
	if (r == 0) {
		backup->err = err;
		source_recorded(backup->ctl->recording, take_file, backup);
		r = backup->r;
	}
	if (r == 0 && backup->spool)
		r = add_spool(backup, err);
	if (r == 0)
		r = archive_commit(backup->writer, facts(backup), err);
	archive_close(&backup->writer);
	if (backup->copy)
		unlink(backup->copy);
	progress_end(&backup->progress);
	return r;
}

static void
tell(const struct backup *backup)
{
	struct pn_console *console = &backup->ctl->console;
	const char *path;
	struct stat st;
	json_t *value;
	size_t i;

	console_add(console,
	    json_pack("{s:s, s:I, s:i, s:i, s:O}", "backup", backup->path, "size",
		(json_int_t)(stat(backup->path, &st) == 0 ? st.st_size : 0), "configuration_files",
		(int)backup->files, "segments", (int)backup->segments, "named", backup->named));
	if (console->json || json_array_size(backup->named) == 0)
		return;
	fprintf(stderr, "Not in it, keep copies elsewhere:%s\n",
	    backup->spool ? "" : " the mail that waits in the spool, and");
	json_array_foreach(backup->named, i, value)
	{
		path = json_string_value(value);
		fprintf(stderr, "  %s\n", path);
	}
}

static int
take_words(struct backup *backup, int argc, char **argv, struct pn_error *err)
{
	for (int i = 0; i < argc; i++) {
		if (strcmp(argv[i], "--spool") == 0)
			backup->spool = true;
		else if (strncmp(argv[i], "--", 2) != 0 && !backup->path)
			backup->path = argv[i];
		else
			return pn_error_set(
			    err, -EINVAL, "\"%s\": backup takes one FILE and --spool", argv[i]);
	}
	return backup->path ? 0 : pn_error_set(err, -EINVAL, "which FILE?");
}

static int
run_backup(struct ctl *ctl, int argc, char **argv, struct pn_error *err)
{
	struct backup backup = { .ctl = ctl };
	int code, r;

	if (take_words(&backup, argc, argv, err) < 0)
		return EXIT_USAGE;
	code = ctl_open_generation(ctl, err);
	if (code != EXIT_OK)
		return code;
	backup.progress.quiet = ctl->console.json;
	backup.database = g_strdup_printf(
	    "%s/" BACKUP_DATABASE_FILE, generation_core(ctl->generation)->relay.state_directory);
	backup.folder = g_canonicalize_filename(ctl->folder, NULL);
	backup.named = json_array();
	r = write_backup(&backup, err);
	if (r == 0) {
		note(&backup);
		tell(&backup);
	}
	json_decref(backup.named);
	g_free(backup.folder);
	g_free(backup.database);
	g_free(backup.copy);
	return r < 0 ? EXIT_REFUSED : EXIT_OK;
}

const struct ctl_command ctl_backup_commands[] = {
	{ "backup", "FILE [--spool]",
	    "Write database and configuration to a tar FILE (.gz, .zst: compressed); --spool: also "
	    "the mail that waits. The relay may run.",
	    1, 2, run_backup },
	{ "restore", "FILE [--config | --spool [--hold]] [--check]",
	    "Put the database of a backup in place while no relay runs; --config: and the "
	    "configuration; --spool: the mail instead, held with --hold.",
	    1, 4, restore_run },
	{ NULL, NULL, NULL, 0, 0, NULL },
};
