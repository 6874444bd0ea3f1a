// SPDX-License-Identifier: GPL-2.0-only
/*
 * pipeline.c - commands of the user that store or supply the data of the devices
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "appliance.h"
#include "common/child.h"

static bool is_backup(const struct appliance *a)
{
	return a->ops->data == VDC_Write;
}

/*
 * A failure of one device is noted and not always an abort, but all commands end with
 * it: none of them may store its part as a whole one.
 */
bool pipeline_stopped(void *context)
{
	struct appliance *a = context;
	bool failed;

	pthread_mutex_lock(&a->lock);
	failed = a->exit_code != EXIT_OK;
	pthread_mutex_unlock(&a->lock);
	return failed || appliance_stopped(a);
}

static struct command *open_command(struct appliance *a,
				    const struct command_spec *spec)
{
	struct command *c = command_open(spec, a->pipeline.why,
					 sizeof(a->pipeline.why));

	if (!c)
		appliance_fail(a, EXIT_FAILED, "%s", a->pipeline.why);
	return c;
}

static struct command *start(struct appliance *a, struct command_spec *spec,
			     unsigned int device)
{
	struct child_variables own = { 0 };
	struct command *c = NULL;
	char **all;

	child_variable(&own, "VDI_SET=%s", a->names.set);
	child_variable(&own, "VDI_DEVICE=%s", spec->device);
	child_variable(&own, "VDI_DEVICE_INDEX=%u", device);
	child_variable(&own, "VDI_DEVICES=%u", a->count);
	child_variable(&own, "VDI_OPERATION=%s", a->ops->verb);
	all = child_variables_environment(&own);
	spec->environment = all;
	if (all)
		c = open_command(a, spec);
	else
		appliance_fail(a, EXIT_FAILED, "out of memory");
	free(all);
	child_variables_free(&own);
	return c;
}

bool pipeline_open(struct appliance *a, unsigned int device,
		   struct drive_config *config)
{
	struct command_spec spec = {
		.shell = a->pipeline.command,
		.device = vdi_names_get(&a->names, device),
		.writing = is_backup(a),
		.stop = pipeline_stopped,
		.stop_context = a,
	};

	config->stop = pipeline_stopped;
	config->stop_context = a;
	config->command = spec.shell ? start(a, &spec, device) :
			  open_command(a, &spec);
	return config->command;
}

bool pipeline_used(const struct appliance *a)
{
	return a->pipeline.command || a->pipeline.standard;
}

void pipeline_describe(const struct appliance *a, char *buf, size_t size)
{
	if (a->pipeline.command)
		snprintf(buf, size, "%u command%s", a->count,
			 a->count == 1 ? "" : "s");
	else
		snprintf(buf, size, "standard %s",
			 is_backup(a) ? "output" : "input");
}

static int check_standard(const struct appliance *a)
{
	if (a->count != 1)
		vdi_error("with '-', a single device is required: use %s",
			  is_backup(a) ? "--to-command" : "--from-command");
	else if (is_backup(a) && a->events.json && !*a->events.json)
		vdi_error("standard output is that of the data: use --json=FILE");
	else if (isatty(is_backup(a) ? STDOUT_FILENO : STDIN_FILENO))
		vdi_error("standard %s is a terminal: redirect it, or use %s",
			  is_backup(a) ? "output" : "input",
			  is_backup(a) ? "--to DIR" : "--from DIR");
	else
		return EXIT_OK;
	return EXIT_USAGE;
}

int pipeline_check(struct appliance *a)
{
	const char *option = is_backup(a) ? "--to-command" : "--from-command";

	if (!pipeline_used(a))
		return EXIT_OK;
	if (a->pipeline.command && !*a->pipeline.command)
		return vdi_invalid(option, "", "a command for the shell");
	if (a->direct == DIRECT_ALWAYS) {
		vdi_error("--direct cannot be used with %s",
			  a->pipeline.command ? option : "'-'");
		return EXIT_USAGE;
	}
	/* no alignment of the buffers is needed */
	a->direct = DIRECT_NEVER;
	return a->pipeline.standard ? check_standard(a) : EXIT_OK;
}
