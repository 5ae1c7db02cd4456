export { fullPlan, type PlannedHead, quickPlan, type ReproducePlan } from './plan.js';
export { type ReproduceOutcome, type ReproduceRequest, reproduce } from './reproduce.js';
