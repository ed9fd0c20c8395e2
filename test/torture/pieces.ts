/** Four pieces, cut where the numbers of a linear congruential generator say. */
export function cutInPieces(bytes: string, seed: number): string[] {
  if (bytes === '') return [];
  let state = seed >>> 0;
  const cuts = [0, 0, 0].map(() => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return state % bytes.length;
  });
  const places = [0, ...cuts.sort((a, b) => a - b), bytes.length];
  return places.slice(1).flatMap((to, i) => (to > places[i]! ? [bytes.slice(places[i], to)] : []));
}
