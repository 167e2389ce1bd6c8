import { directoryRules } from './directory-rules.ts'
import { keepingRules } from './keeping-rules.ts'
import type { Rule } from './rule.ts'
import { sessionRules } from './session-rules.ts'

/** What every token store must do. */
export const rules: readonly Rule[] = [...keepingRules, ...sessionRules, ...directoryRules]
