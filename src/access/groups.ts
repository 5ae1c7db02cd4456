import { PEOPLE, type PersonRole } from './principal.js';

/** Which groups of a directory have which role here, and what everybody else has. */
export interface GroupRoles {
  roles: Readonly<Record<PersonRole, readonly string[]>>;
  otherwise: PersonRole | 'none';
}

/** The highest role that any of the groups gives; undefined for none. Groups are compared exactly. */
export function roleOf(groups: readonly string[], { roles, otherwise }: GroupRoles): PersonRole | undefined {
  const role = PEOPLE.findLast((each) => roles[each].some((group) => groups.includes(group)));
  return role ?? (otherwise === 'none' ? undefined : otherwise);
}
