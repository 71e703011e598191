/* A file or folder with all in it; links are removed, not followed.  What cannot be removed stays.
 */
#ifndef PD_REMOVE_TREE_H
#define PD_REMOVE_TREE_H

void pd_remove_tree(const char *path);

#endif
