// Behind the text of axe-core, which has made `axe`.
return settled()
  .then(() => axe.run(document, { resultTypes: ["violations"] }))
  .then(({ violations }) =>
    violations.map(({ id, impact, help, nodes }) => ({
      id,
      impact,
      help,
      nodes: nodes.map((node) => `${node.target.join(" ")}: ${node.failureSummary}`),
    })),
  );
