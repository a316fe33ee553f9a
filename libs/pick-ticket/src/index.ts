export { imageTypeOf } from './lib/preview-image.js';
export { MAX_PLACEMENTS, MAX_VIEWS, readRecipe } from './lib/recipe-content.js';
export type { Colour, Placement, RecipeContent, View } from './lib/recipe-content.js';
export { PAPERS } from './lib/paper.js';
export type { PaperSize } from './lib/paper.js';
export { TicketRenderer } from './lib/render-ticket.js';
export type { TicketInput, TicketOrder } from './lib/ticket.js';
