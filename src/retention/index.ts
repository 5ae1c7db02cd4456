/** What is removed from the archive to make room, and what never is. */
export { createRetention, type Retention, type RetentionLimits } from './retention.js';
