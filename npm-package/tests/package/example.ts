/** The example app, as its readers get it: a copy, with the packed package in place of a published one. */
import { cp, readFile, writeFile } from 'node:fs/promises'
import path from 'node:path'

import { manifest, type Project, packageFolder } from './project.js'

const source = path.join(packageFolder, 'examples/first-page')

/** What it needs, by its own account, besides this package. */
export async function dependenciesOfExample(): Promise<string[]> {
  const { name } = await manifest()
  const text = await readFile(path.join(source, 'package.json'), 'utf8')
  const { dependencies, devDependencies } = JSON.parse(text) as Record<string, object>
  const all = Object.keys({ ...dependencies, ...devDependencies })
  return all.filter(dependency => dependency !== name)
}

/** Copies it into a project, and returns where it is. What a developer's own runs left stays. */
export async function copyExample(project: Project): Promise<string> {
  const copy = project.path('examples/first-page')
  const isOurs = (file: string) => !/^(node_modules|dist)$/.test(path.relative(source, file))
  await cp(source, copy, { recursive: true, filter: isOurs })
  return copy
}

/** Lets the built page log in, and tell a backend what it shows, as a person would read it. */
export async function watchExample(copy: string): Promise<void> {
  const index = path.join(copy, 'dist/index.html')
  const html = await readFile(index, 'utf8')
  await writeFile(index, html.replace('<head>', `<head><script>${WATCHER}</script>`))
}

const WATCHER = `
sessionStorage.setItem('accessToken', 'token')
const address = new URL(location.href).searchParams
function report() {
  const status = document.querySelector('output')?.dataset.status
  const terms = [...document.querySelectorAll('dt')]
  const term = terms.find(({ textContent }) => textContent === 'On the wishlist')
  const body = JSON.stringify({ status, wishes: Number(term?.nextElementSibling.textContent) })
  fetch(address.get('backend') + '/reports/' + address.get('name'), { method: 'POST', body })
}
const everything = { subtree: true, childList: true, attributes: true, characterData: true }
new MutationObserver(report).observe(document, everything)
`
