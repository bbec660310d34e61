/** Packs and installs once for all the files of tests, which only read the project. */
import { existsSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'

import type { TestProject } from 'vitest/node'

import { dependenciesOfExample } from './example.js'
import { manifest, Project, pack } from './project.js'
import { toolsFolder } from './tool.js'

declare module 'vitest' {
  interface ProvidedContext {
    packed: { tarball: string; files: string[]; project: string }
  }
}

export async function setup({ provide }: TestProject): Promise<() => Promise<void>> {
  if (!existsSync(path.join(toolsFolder, 'node_modules'))) {
    throw new Error(
      `Run \`npm ci\` in ${toolsFolder} first, or \`cargo xtask test --only package\`.`,
    )
  }
  const scratch = await mkdtemp(path.join(tmpdir(), 'dashboard-sdk-packed-'))
  const teardown = () => rm(scratch, { recursive: true, force: true })
  try {
    const packed = await pack(scratch)
    const { peerDependencies } = await manifest()
    const companions = new Set(Object.keys(peerDependencies))
    for (const name of await dependenciesOfExample()) companions.add(name)
    const project = new Project(path.join(scratch, 'project'))
    await project.install(packed.tarball, [...companions])
    provide('packed', { ...packed, project: project.folder })
  } catch (error) {
    await teardown()
    throw error
  }
  return teardown
}
