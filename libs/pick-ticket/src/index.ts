export { imageTypeOf } from './lib/image-type.js';
export { MAX_PLACEMENTS, MAX_VIEWS, readRecipe } from './lib/recipe-content.js';
export type { Colour, Placement, RecipeContent, View } from './lib/recipe-content.js';
export { TicketRenderer } from './lib/render-ticket.js';
export type { TicketInput, TicketOrder } from './lib/ticket.js';
