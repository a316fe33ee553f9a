export { aDelivery, aDeliveryFile, attempt, describeDestination } from './lib/describe-destination.js';
export type {
  AttemptResult,
  DestinationHarness,
  DestinationSuite,
  TargetFault,
} from './lib/describe-destination.js';
