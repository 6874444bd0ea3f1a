/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * command.h - a command of the user that stores, or supplies, the data of a device
 *
 * The command is run by the shell, in a process group of its own, and reads the data
 * from its standard input, or writes it to its standard output. The data is stored when
 * the command has read all of it and has ended with 0. The data of a restore is whole
 * when the output has ended and the command has ended with 0; the last byte is not
 * handed over before.
 *
 * A sink must not take a failed backup for a whole one. After a failure the process
 * group is therefore killed before the input of the command is closed, and a guard, a
 * process that holds the input open as well, does the same if this process is killed.
 *
 * Without a command, the data goes to our standard output, or comes from our standard
 * input.
 */
#ifndef VDI_COMMAND_H
#define VDI_COMMAND_H

#include <stdbool.h>
#include <stddef.h>

/* Used by one thread at a time. */
struct command;

struct command_spec {
	const char *shell;		/* NULL = our standard output or input */
	char *const *environment;
	const char *device;		/* its name, for messages */
	bool writing;			/* the command reads */
	/* polled while waiting; true stops. NULL = never */
	bool (*stop)(void *context);
	void *stop_context;
};

enum command_result {
	COMMAND_OK,
	COMMAND_FAILED,			/* see command_why() */
	COMMAND_STOPPED
};

/* NULL: see `why`. To be called before other threads use the standard files. */
struct command *command_open(const struct command_spec *spec, char *why,
			     size_t size);
/* An error or a hang-up of fd ends a wait early, if `stop` then returns true. */
void command_watch(struct command *c, int fd);
enum command_result command_write(struct command *c, const void *data,
				  size_t size);
/*
 * All data was written: close the input of the command and wait until it has ended
 * with 0. No data can be written after that. Standard output is flushed and stays open.
 */
enum command_result command_finish(struct command *c);
/*
 * Fewer bytes than `size` are read only at the end. The last byte is returned when the
 * command has ended with 0.
 */
enum command_result command_read(struct command *c, void *data, size_t size,
				 size_t *done);
/* Was the last byte returned? */
bool command_drained(const struct command *c);
const char *command_why(const struct command *c);
/* Kill the command unless it has ended with 0. The object remains valid. */
void command_kill(struct command *c);
void command_close(struct command *c);

#endif /* VDI_COMMAND_H */
