/** In place of the XML reader for meshes that Cornerstone brings along: there are no meshes here. */
export default {
  newInstance(): never {
    throw new Error('meshes cannot be read here');
  },
};
