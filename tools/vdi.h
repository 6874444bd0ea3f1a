/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * vdi.h - the subcommands of vdi
 */
#ifndef VDI_TOOL_H
#define VDI_TOOL_H

/* argv[0] is the name of the subcommand. */
int vdi_backup_main(int argc, char **argv);
int vdi_restore_main(int argc, char **argv);
int vdi_verify_main(int argc, char **argv);
int vdi_list_main(int argc, char **argv);
int vdi_expire_main(int argc, char **argv);
int vdi_serve_main(int argc, char **argv);
int vdi_ls_main(int argc, char **argv);
int vdi_top_main(int argc, char **argv);
int vdi_abort_main(int argc, char **argv);
int vdi_throttle_main(int argc, char **argv);
int vdi_info_main(int argc, char **argv);
int vdi_load_main(int argc, char **argv);

#endif /* VDI_TOOL_H */
