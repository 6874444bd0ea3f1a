// SPDX-License-Identifier: GPL-2.0-only
/*
 * info.c - vdi info, vdi load: the kernel module
 */
#include <errno.h>
#include <getopt.h>
#include <json-c/json.h>
#include <stdio.h>
#include <string.h>

#include <linux/vdiset.h>

#include "doctor.h"
#include "observe.h"
#include "vdi.h"

/* What is printed, as text or JSON. */
struct report {
	struct finding problem;
	struct finding warning[DOCTOR_MAX_WARNINGS];
	unsigned int warnings;
	char version[64];		/* of the loaded module, "" = unknown */
	struct vdi_module_info info;	/* valid if there is no problem */
};

static void read_version(char *buf, size_t size)
{
	FILE *file = fopen("/sys/module/vdiset/version", "re");

	*buf = '\0';
	if (!file)
		return;
	if (fgets(buf, size, file))
		buf[strcspn(buf, "\n")] = '\0';
	fclose(file);
}

static void interface_problem(struct report *report, const char *text)
{
	struct finding *problem = &report->problem;

	problem->problem = "interface_version";
	snprintf(problem->text, sizeof(problem->text),
		 "the loaded module (version %s) does not match vdi (version %s): %s",
		 *report->version ? report->version : "unknown", vdi_version(),
		 text);
	snprintf(problem->remedy, sizeof(problem->remedy),
		 "install both from the same release; then, while no sets are in use, as root: modprobe -r vdiset; vdi load");
}

static void query(const struct doctor *doctor, struct vdi_observer *observer,
		  struct report *report)
{
	char text[64];

	if (vdi_observer_info(observer, &report->info)) {
		doctor->examine(&report->problem);
		if (strcmp(report->problem.problem, "device_stale"))
			interface_problem(report, observe_message(observer));
	} else if (report->info.version != VDISET_VERSION) {
		snprintf(text, sizeof(text), "interface version %u instead of %u",
			 report->info.version, VDISET_VERSION);
		interface_problem(report, text);
	}
}

/* False after an error message. */
static bool make_report(struct report *report)
{
	const struct doctor *doctor = doctor_load();
	struct vdi_observer *observer;

	*report = (struct report){ .warnings = 0 };
	if (!doctor)
		return false;
	if (vdi_observer_new(&observer)) {
		vdi_error("out of memory");
		return false;
	}
	read_version(report->version, sizeof(report->version));
	if (vdi_observer_open(observer))
		doctor->examine(&report->problem);
	else
		query(doctor, observer, report);
	report->warnings = doctor->warn(report->warning, *report->version ?
					report->version : NULL);
	vdi_observer_free(observer);
	return true;
}

/* --------------------------------------------------------------------- text */

static void print_limit(const char *what, uint64_t bytes)
{
	char text[32];

	vdi_format_bytes(bytes, text, sizeof(text));
	printf("            %-24s %s\n", what, text);
}

static void print_info(const struct report *report)
{
	const struct vdi_module_info *info = &report->info;

	printf("module:     vdiset %s, loaded\n",
	       *report->version ? report->version : "unknown");
	printf("interface:  version %u\n", info->version);
	printf("in use:     %u set%s\n", info->sets,
	       info->sets == 1 ? "" : "s");
	print_limit("buffer areas", info->total_bytes);
	printf("limits:     %-24s %u\n", "devices per set",
	       info->max_devices);
	printf("            %-24s %u (default %u)\n", "commands per device",
	       info->max_depth, info->default_depth);
	printf("            %-24s %u\n", "sets per user", info->max_sets);
	print_limit("area of one set", info->max_set_bytes);
	print_limit("areas of one user", info->max_user_bytes);
	print_limit("areas in all", info->max_total_bytes);
}

static void print_report(const struct report *report)
{
	unsigned int i;

	printf("vdi:        %s\n", vdi_version());
	if (report->problem.problem)
		printf("module:     not available: %s\n"
		       "to do:      %s\n"
		       "problem:    %s, see vdi-observe(1)\n", report->problem.text,
		       report->problem.remedy, report->problem.problem);
	else
		print_info(report);
	for (i = 0; i < report->warnings; i++)
		printf("warning:    %s\n"
		       "to do:      %s\n", report->warning[i].text,
		       report->warning[i].remedy);
}

/* --------------------------------------------------------------------- JSON */

static void add_text(struct json_object *object, const char *key,
		     const char *text)
{
	json_object_object_add(object, key,
			       text ? json_object_new_string(text) : NULL);
}

static void add_number(struct json_object *object, const char *key,
		       uint64_t number)
{
	json_object_object_add(object, key, json_object_new_uint64(number));
}

static void add_finding(struct json_object *object,
			const struct finding *finding)
{
	add_text(object, "problem", finding->problem);
	if (!finding->problem)
		return;
	add_text(object, "text", finding->text);
	add_text(object, "remedy", finding->remedy);
}

static struct json_object *json_limits(const struct vdi_module_info *info)
{
	struct json_object *object = json_object_new_object();

	add_number(object, "interface", info->version);
	add_number(object, "sets", info->sets);
	add_number(object, "total_bytes", info->total_bytes);
	add_number(object, "max_devices", info->max_devices);
	add_number(object, "max_depth", info->max_depth);
	add_number(object, "default_depth", info->default_depth);
	add_number(object, "max_sets", info->max_sets);
	add_number(object, "max_set_bytes", info->max_set_bytes);
	add_number(object, "max_user_bytes", info->max_user_bytes);
	add_number(object, "max_total_bytes", info->max_total_bytes);
	return object;
}

static void print_json(const struct report *report)
{
	struct json_object *object = json_object_new_object();
	struct json_object *warnings = json_object_new_array();
	unsigned int i;

	add_text(object, "vdi_version", vdi_version());
	add_text(object, "module_version",
		 *report->version ? report->version : NULL);
	add_finding(object, &report->problem);
	json_object_object_add(object, "module", report->problem.problem ?
			       NULL : json_limits(&report->info));
	for (i = 0; i < report->warnings; i++) {
		struct json_object *warning = json_object_new_object();

		add_finding(warning, &report->warning[i]);
		json_object_array_add(warnings, warning);
	}
	json_object_object_add(object, "warnings", warnings);
	puts(json_object_to_json_string_ext(object, JSON_C_TO_STRING_PRETTY |
					    JSON_C_TO_STRING_SPACED |
					    JSON_C_TO_STRING_NOSLASHESCAPE));
	json_object_put(object);
}

/* ----------------------------------------------------------------- commands */

int vdi_info_main(int argc, char **argv)
{
	static const struct option options[] = {
		{ "json", no_argument, NULL, 'j' },
		{ "help", no_argument, NULL, 'h' },
		{ NULL, 0, NULL, 0 }
	};
	static const char help[] = "usage: vdi info [--json]\n\n"
		"Shows version and limits of the kernel module. If it is not available, shows\n"
		"the cause and what to do; the exit code is then 6.\n\n"
		"  -j, --json            print a JSON object\n"
		"  -h, --help            show this help\n";
	struct report report;
	bool json = false;
	int c;

	while ((c = getopt_long(argc, argv, "jh", options, NULL)) != -1) {
		switch (c) {
		case 'j':
			json = true;
			break;
		case 'h':
			fputs(help, stdout);
			return EXIT_OK;
		default:
			fputs(help, stderr);
			return EXIT_USAGE;
		}
	}
	if (optind != argc) {
		fputs(help, stderr);
		return EXIT_USAGE;
	}
	if (!make_report(&report))
		return EXIT_FAILED;
	if (json)
		print_json(&report);
	else
		print_report(&report);
	return report.problem.problem ? EXIT_NO_MODULE : EXIT_OK;
}

/* The library's text ends with that of errno. */
static bool ends_with(const char *text, const char *end)
{
	size_t a = strlen(text), b = strlen(end);

	return a >= b && !strcmp(text + a - b, end);
}

int vdi_load_main(int argc, char **argv)
{
	const struct doctor *doctor;
	struct finding finding;
	char text[256];

	if (argc > 1) {
		bool help = !strcmp(argv[1], "--help") ||
			    !strcmp(argv[1], "-h");

		fputs("usage: vdi load\n\nLoads the kernel module. Requires root.\n",
		      help ? stdout : stderr);
		return help ? EXIT_OK : EXIT_USAGE;
	}
	if (vdi_load_module(text, sizeof(text)) != NOERROR)
		vdi_error("%s", text);
	else if (observe_module_is_loaded())
		return EXIT_OK;
	doctor = doctor_load();
	if (!doctor)
		return EXIT_NO_MODULE;
	doctor->examine(&finding);
	if (!strcmp(finding.problem, "module_not_loaded") &&
	    (ends_with(text, strerror(ENOKEY)) ||
	     ends_with(text, strerror(EKEYREJECTED))))
		doctor->refused_signature(&finding);
	vdi_error("%s; to do: %s", finding.text, finding.remedy);
	return EXIT_NO_MODULE;
}
